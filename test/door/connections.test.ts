import { connect, type Socket } from 'node:net'
import type { ServerResponse } from 'node:http'
import { once } from 'node:events'
import t from 'tap'
import { codeOf, parse, raw, start } from './start-server.ts'

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
/** Resolves when it is closed, whatever error it meets. */
const closed = (socket: Socket) =>
  new Promise((resolve) => socket.on('error', () => {}).once('close', resolve))

// Rows of docs/bad-input.md that are shown here: B65.

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
  const get = 'GET /v1/x HTTP/1.1\r\nhost: a\r\nconnection: keep-alive\r\n\r\n'
  const streaming = raw(port, get)
  await pause(50)
  const gone = Promise.all([idle, half].map(closed))
  let over = false
  const closing = server.close().then(() => (over = true))
  await gone
  t.equal(over, false, 'a stream is running')
  end?.()
  t.match(await streaming, /\r\n6\r\nfirst \r\n4\r\nlast\r\n0\r\n\r\n$/)
  await closing
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
  await pause(100)
  socket.on('data', (chunk: Buffer) => (got += chunk.length))
  await closed(socket)
  await closing
  t.ok(got >= size, `${got} bytes`)
})

t.test('a refused body is not read for ever', async (t) => {
  const { port } = await start(t)
  const socket = connect(port, '127.0.0.1')
  socket.write('POST /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n')
  const timer = setInterval(() => socket.write('x'), 100)
  await closed(socket)
  clearInterval(timer)
  t.pass('the gate has closed it')
})

t.test('slow heads are closed, with 408', async (t) => {
  const { port } = await start(t)
  const half = () => raw(port, 'GET /livez HTTP/1.1\r\nhost: a\r\n')
  for (const answer of await Promise.all(Array.from({ length: 20 }, half))) {
    t.equal(codeOf(parse(answer)), '408 request_timeout')
  }
})

t.test('one connection more than the cap is told so and closed, the others live', async (t) => {
  const { port, events } = await start(t, { config: { now: { connectionsMax: 2 } } })
  const kept = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')] as const
  await Promise.all(kept.map((socket) => once(socket, 'connect')))
  const ask = 'GET /livez HTTP/1.1\r\nhost: a\r\n\r\n'
  for (let i = 0; i < 3; i++) {
    const got = parse(await raw(port, ask))
    t.equal(codeOf(got), '503 too_many_connections')
    t.match(got.headers, { connection: 'close', 'retry-after': /^\d+$/, 'x-request-id': /./ })
  }
  const refused = { type: 'refused', code: 'too_many_connections' }
  t.match(events, [refused, refused, refused])
  for (const socket of kept) {
    const answered = once(socket, 'data')
    socket.write(ask)
    t.equal(parse(String(await answered)).status, 200)
  }
  kept[0].end()
  await closed(kept[0])
  // The server hears of it a moment later.
  for (;;) {
    const got = parse(await raw(port, ask.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n')))
    if (got.status === 200) break
    t.equal(codeOf(got), '503 too_many_connections')
  }
  kept[1].destroy()
})

t.test('who is turned away and never leaves is cut off', async (t) => {
  const { port } = await start(t, { config: { now: { connectionsMax: 0 } } })
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.resume()
  const cut = closed(socket)
  // Its own half stays open: only what it sends tells it that nobody is there.
  const drip = setInterval(() => socket.write('x'), 100)
  await cut
  clearInterval(drip)
  t.pass('the gate has closed it')
})

t.test('what comes after too many pipelined requests is not even read', async (t) => {
  const asked: ServerResponse[] = []
  const { port, events } = await start(t, {
    proxy: (_request, response: ServerResponse) => void asked.push(response),
  })
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('data', (data) => (text += String(data)))
  const over = closed(socket)
  const one = `GET /v1/x HTTP/1.1\r\nhost: a\r\nx-pad: ${'p'.repeat(1_000)}\r\n\r\n`
  for (let i = 0; i < 400; i++) socket.write(one.repeat(100))
  while (events.length === 0) await pause(10)
  // Read on, all of it would be gone in less than a second.
  await pause(3_000)
  t.ok(socket.writableLength > 10_000_000, `${socket.writableLength} of 40 MB are held back`)
  t.equal(asked.length, 16)
  for (const response of asked) response.end('x')
  await over
  t.equal(text.split('HTTP/1.1 200').length - 1, 16)
  t.equal(text.split('HTTP/1.1 400').length - 1, 1)
  t.match(events, [{ type: 'refused', code: 'too_many_pipelined' }])
  t.equal(asked.length, 16)
})

const GET = 'GET /livez HTTP/1.1\r\nhost: a\r\n'
const POST = 'POST /v1/x HTTP/1.1\r\nhost: a\r\n'

t.test('bytes that are no request get our error and a closed connection', async (t) => {
  const { port, events } = await start(t)
  const expects = 'connection: close\r\nexpect: teapot\r\ncontent-length: 2\r\n\r\n{}'
  const both = 'content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'
  const cases: [string, number, string][] = [
    ['nonsense\r\n\r\n', 400, 'bad_framing'],
    ['GET /livez HTTP/1.1\r\nhost : a\r\n\r\n', 400, 'bad_framing'],
    [`${GET}x: a\u0000b\r\n\r\n`, 400, 'bad_framing'],
    [`${POST}${both}`, 400, 'bad_framing'],
    [`${POST}content-length: +3\r\n\r\nabc`, 400, 'bad_framing'],
    [`${GET}x: ${'y'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
    [`${GET}connection: close\r\n${'a: b\r\n'.repeat(300)}\r\n`, 431, 'headers_too_large'],
    ['CONNECT evil:443 HTTP/1.1\r\nhost: a\r\n\r\n', 405, 'method_not_allowed'],
    [`${POST}${expects}`, 417, 'expectation_failed'],
  ]
  for (const [bytes, status, code] of cases) {
    const name = JSON.stringify(bytes.slice(0, 60))
    const got = parse(await raw(port, bytes))
    t.equal(codeOf(got), `${status} ${code}`, name)
    t.match(got.headers['x-request-id'], /^[0-9a-f-]{36}$/, name)
    t.match(events.at(-1), { type: 'refused', code }, name)
  }
})

t.test('garbage after a request waits for its answer, and never corrupts it', async (t) => {
  let finish: (() => void) | undefined
  const { port } = await start(t, {
    proxy: (_request, response) => {
      response.writeHead(200, { 'content-length': '10' })
      response.write('12345')
      finish = () => response.end('67890')
    },
  })
  const answer = raw(port, `${POST}content-length: 2\r\n\r\n{}garbage\r\n\r\nmore\r\n\r\n`)
  await pause(50)
  finish?.()
  const text = await answer
  t.match(text, /1234567890HTTP\/1\.1 400 /)
  t.equal(text.split('HTTP/1.1 400').length, 2, 'once')
})

t.test('a body with broken chunks is refused at once, not waited for', async (t) => {
  const { port } = await start(t, { proxy: (request) => void request.resume() })
  const bytes = `${POST}transfer-encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n`
  const got = parse(await raw(port, bytes))
  t.equal(codeOf(got), '400 bad_framing')
})
