import { connect, type Socket } from 'node:net'
import type { ServerResponse } from 'node:http'
import { request as httpRequest } from 'node:http'
import t from 'tap'
import { codeOf, parse, raw, start } from './start-server.ts'

t.test('close() ends promptly after the last stream, and cuts no answer short', async (t) => {
  let end: (() => void) | undefined
  const { port, server } = await start(t, {
    proxy: (_request, response: ServerResponse) => {
      response.writeHead(200)
      response.write('first ')
      end = () => response.end('last')
    },
  })
  const idle = connect(port, '127.0.0.1')
  idle.write('GET /livez HTTP/1.1\r\nhost: a\r\n\r\n')
  await new Promise((resolve) => idle.once('data', resolve))
  const half = connect(port, '127.0.0.1')
  half.write('GET /livez HT')
  const streaming = new Promise<string>((resolve) => {
    const request = httpRequest({
      port,
      path: '/v1/x',
      agent: false,
      headers: { connection: 'keep-alive' },
    })
    request.end()
    request.on('response', async (response) => {
      let text = ''
      for await (const chunk of response) text += String(chunk)
      resolve(text)
    })
  })
  await new Promise((resolve) => setTimeout(resolve, 50))
  const gone = Promise.all(
    [idle, half].map((socket: Socket) => new Promise((resolve) => socket.once('close', resolve))),
  )
  let closed = false
  const closing = server.close().then(() => (closed = true))
  await gone
  t.equal(closed, false, 'a stream is running')
  const endedAt = Date.now()
  end?.()
  t.equal(await streaming, 'first last')
  await closing
  t.ok(Date.now() - endedAt < 500, 'no keep-alive connection is waited for')
})

t.test('close() lets a slow reader have the rest of an answer that has ended', async (t) => {
  const size = 30_000_000
  const { port, server } = await start(t, {
    proxy: (_request, response) => void response.end(Buffer.alloc(size, 'x')),
  })
  let got = 0
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /v1/x HTTP/1.1\r\nhost: a\r\n\r\n')
  await new Promise((resolve) => socket.once('readable', resolve))
  const closing = server.close()
  await new Promise((resolve) => setTimeout(resolve, 100))
  socket.on('data', (chunk: Buffer) => (got += chunk.length))
  await new Promise((resolve) => socket.once('close', resolve))
  await closing
  t.ok(got >= size, `${got} bytes`)
})

t.test('a refused body is not read for ever', async (t) => {
  const { port } = await start(t)
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write('POST /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n')
  const timer = setInterval(() => socket.write('x'), 100)
  const from = Date.now()
  await new Promise((resolve) => socket.once('close', resolve))
  clearInterval(timer)
  t.ok(Date.now() - from < 4_000)
})

t.test('slow heads are closed within 12 s, with 408', async (t) => {
  const { port } = await start(t)
  const from = Date.now()
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => raw(port, 'GET /livez HTTP/1.1\r\nhost: a\r\n')),
  )
  t.ok(Date.now() - from < 12_000)
  t.ok(
    answers.every(
      (answer) => parse(answer).status === 408 && codeOf(parse(answer)) === 'request_timeout',
    ),
  )
})
