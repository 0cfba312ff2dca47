import t from 'tap'
import { createServer, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import type { Test } from 'tap'
import type { AttemptInput } from '../../../src/proxy/upstream/headers.ts'
import { Attempt } from '../../../src/proxy/upstream/attempt.ts'
import { Pool } from '../../../src/proxy/upstream/pools.ts'
import { BodyReader, RawReader } from '../../../src/proxy/answer/reader.ts'
import { StreamReader } from '../../../src/proxy/answer/stream-reader.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'
import { ANSWERS } from '../../support/answer-apis.ts'

// Rows of docs/faults.md that are shown here: F38, exception-in-a-lane, error-body-slow-or-large,
// unreadable-coding, decompression-bomb, idle-connection-and-upload.

// Goal: one attempt ends once, with a value, whatever the connection does.
// Method: a TCP server that plays what each connection is to do with its requests, byte by byte.

type Play = (socket: Socket, request: number) => void

async function upstream(
  t: Test,
  play: Play,
  nowMs = () => performance.now(),
): Promise<{ pool: Pool; requests: () => number }> {
  let requests = 0
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', () => play(socket, ++requests))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const target = {
    name: 'a',
    url: `http://127.0.0.1:${port}`,
    authorization: null,
    connectTimeoutMs: 500,
  }
  const pool = new Pool(target, nowMs)
  t.teardown(() => {
    pool.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { pool, requests: () => requests }
}

function attempt(pool: Pool, over: Partial<AttemptInput> = {}, write = () => true) {
  const seen = {
    status: 0,
    length: null as number | null,
    body: '',
    content: 0,
    bugs: [] as string[],
  }
  const running = new Attempt(
    {
      pool,
      method: 'POST',
      path: '/v1/chat/completions',
      judged: true,
      headers: { 'content-type': 'application/json' },
      body: Buffer.from('{}'),
      mapped: false,
      pending: () => false,
      readerFor: (head) => {
        const options = { api: ANSWERS.chat, model: null } as const
        const sse = String(head.headers['content-type']).startsWith('text/event-stream')
        return sse ? new StreamReader(options) : new BodyReader(options)
      },
      mayReplay: () => true,
      onBug: (error) => seen.bugs.push(String(error)),
      clock: systemClock,
      ...over,
    },
    {
      commit(head, length) {
        seen.status = head.status
        seen.length = length
      },
      write(chunk) {
        seen.body += chunk.toString()
        return write()
      },
      content(events) {
        seen.content += events
      },
    },
  )
  return { running, seen }
}

const ANSWER = '{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}'
const json = (body: string, status = '200 OK') =>
  `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
const SSE = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n'
const event = (delta: string, finish = 'null') =>
  `data: {"choices":[{"index":0,"delta":${delta},"finish_reason":${finish}}]}\n\n`

t.test('an answer is committed whole, with its length', async (t) => {
  const { pool } = await upstream(t, (socket) => socket.write(json(ANSWER)))
  const { running, seen } = attempt(pool)
  t.strictSame(await running.done, { kind: 'finished' })
  t.strictSame(seen, { status: 200, length: ANSWER.length, body: ANSWER, content: 0, bugs: [] })
})

t.test(
  'a reused connection that dies before any byte is replayed once and blamed on nobody',
  async (t) => {
    const { pool, requests } = await upstream(t, (socket, request) => {
      if (request === 2) socket.destroy()
      else socket.write(json(ANSWER))
    })
    t.equal((await attempt(pool).running.done).kind, 'finished')
    t.equal((await attempt(pool).running.done).kind, 'finished')
    t.equal(requests(), 3, 'first, stale, replay')
  },
)

t.test('a used connection that dies after the engine may have begun is not replayed', async (t) => {
  const { pool, requests } = await upstream(t, (socket, request) => {
    if (request === 2) setTimeout(() => socket.destroy(), 100)
    else socket.write(json(ANSWER))
  })
  t.equal((await attempt(pool).running.done).kind, 'finished')
  t.match(await attempt(pool).running.done, { kind: 'failed', why: 'reset', sent: true })
  t.equal(requests(), 2)
})

t.test('a replay is asked for: it may be the second run', async (t) => {
  const { pool, requests } = await upstream(t, (socket, request) => {
    if (request === 2) socket.destroy()
    else socket.write(json(ANSWER))
  })
  t.equal((await attempt(pool).running.done).kind, 'finished')
  const asked: boolean[] = []
  const mayReplay = (seen: boolean): boolean => {
    asked.push(seen)
    return false
  }
  t.match(await attempt(pool, { mayReplay }).running.done, { kind: 'failed', why: 'reset' })
  t.strictSame(asked, [true])
  t.equal(requests(), 2)
})

t.test('what can be sent only once goes on no connection that was idle for long', async (t) => {
  let now = 0
  const { pool, requests } = await upstream(
    t,
    (socket) => socket.write(json(ANSWER)),
    () => now,
  )
  const once = { judged: false, readerFor: () => new RawReader() }
  const connections: number[] = []
  const send = async (over: Partial<AttemptInput>): Promise<void> => {
    t.equal((await attempt(pool, over).running.done).kind, 'finished')
    connections.push(pool.size)
  }
  await send(once)
  now = 900
  await send(once)
  now = 2_000
  await send(once)
  await send({ ...once, body: () => Readable.from([Buffer.from('{}')]) })
  now = 3_500
  await send({ ...once, method: 'GET', body: null })
  await send({})
  t.strictSame(connections, [1, 1, 2, 2, 2, 2], 'only the third takes a fresh one')
  t.equal(requests(), 6)
})

t.test('a fresh connection that dies before any byte is not replayed', async (t) => {
  const { pool, requests } = await upstream(t, (socket) => socket.destroy())
  t.match(await attempt(pool).running.done, { kind: 'failed', why: 'reset', sent: true })
  t.equal(requests(), 1)
})

t.test('a stream that is complete may lose its connection', async (t) => {
  const { pool } = await upstream(t, (socket) => {
    const head = SSE.replace('\r\n\r\n', '\r\ntransfer-encoding: chunked\r\n\r\n')
    const body = `${event('{"content":"a"}')}${event('{}', '"stop"')}data: [DONE]\n\n`
    socket.write(`${head}${body.length.toString(16)}\r\n${body}\r\n`, () =>
      setTimeout(() => socket.resetAndDestroy(), 20),
    )
  })
  const { running, seen } = attempt(pool)
  t.equal((await running.done).kind, 'finished', 'all that was promised had arrived')
  t.match(seen.body, /DONE/)
})

const LARGE = JSON.stringify({ detail: [{ msg: 'x'.repeat(1_500_000) }] })
t.test('a 422 with more than a megabyte of body is passed on whole', async (t) => {
  const { pool } = await upstream(t, (socket) => socket.write(json(LARGE, '422 Unprocessable')))
  const { running, seen } = attempt(pool)
  t.strictSame(await running.done, { kind: 'passed', status: 422, answer: null })
  t.equal(seen.status, 422)
  t.equal(seen.body, LARGE)
})

t.test('a 400 whose body takes more than two seconds is passed on whole', async (t) => {
  const clock = new VirtualClock()
  const whole = json('{"error":{"message":"too long"}}', '400 Bad Request')
  const sockets: Socket[] = []
  const { pool } = await upstream(t, (socket) => {
    socket.write(whole.slice(0, -9))
    sockets.push(socket)
  })
  const { running, seen } = attempt(pool, { clock })
  while (seen.status === 0) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    await clock.advance(1_000)
  }
  sockets[0]?.write(whole.slice(-9))
  t.match(await running.done, { kind: 'passed', status: 400, answer: null })
  t.equal(seen.body, '{"error":{"message":"too long"}}')
})

t.test('a 400 that streams and then breaks is cut, and never looks whole', async (t) => {
  const { pool } = await upstream(t, (socket) => {
    socket.write(json(LARGE, '400 Bad Request').slice(0, -9), () => socket.destroy())
  })
  t.match(await attempt(pool).running.done, { kind: 'cut', code: 'upstream_truncated' })
})

t.test('a large error in a stream that has begun is no part of that stream', async (t) => {
  const { pool } = await upstream(t, (socket) => socket.write(json(LARGE, '422 Unprocessable')))
  const { running, seen } = attempt(pool, { pending: () => true })
  t.match(await running.done, { kind: 'passed', status: 422, answer: { body: Buffer.alloc(0) } })
  t.equal(seen.body, '')
})

t.test('a stream that breaks after content is cut, before content failed', async (t) => {
  for (const [delta, kind] of [
    ['{"content":"a"}', 'cut'],
    ['{"role":"assistant"}', 'failed'],
  ] as const) {
    const { pool } = await upstream(t, (socket) => {
      socket.write(SSE + event(delta), () => setTimeout(() => socket.destroy(), 20))
    })
    t.match(await attempt(pool).running.done, { kind, code: 'upstream_truncated' })
  }
})

t.test('garbage is a protocol error, and a second answer goes to nobody', async (t) => {
  const garbage = await upstream(t, (socket) => socket.write('SSH-2.0-OpenSSH\r\n'))
  t.match(await attempt(garbage.pool).running.done, { kind: 'failed', why: 'invalid_response' })
  const twice = await upstream(t, (socket) =>
    socket.write(json(ANSWER) + json('{"choices":[{"poison":1}]}')),
  )
  const first = attempt(twice.pool)
  await first.running.done
  t.equal(first.seen.body, ANSWER)
  const second = attempt(twice.pool)
  await second.running.done
  t.notMatch(second.seen.body, /poison/)
})

t.test(
  'an error status keeps the body that it sends, and waits no longer than it is worth',
  async (t) => {
    const { pool } = await upstream(t, (socket) => socket.write(json('{"error":"x"}', '500 Oops')))
    t.match(await attempt(pool).running.done, {
      kind: 'failed',
      why: 'http_5xx',
      answer: { status: 500, body: Buffer.from('{"error":"x"}') },
    })
    const slow = await upstream(t, (socket) =>
      socket.write('HTTP/1.1 500 Oops\r\ncontent-length: 9\r\n\r\n{"err'),
    )
    t.match(await attempt(slow.pool).running.done, { kind: 'failed', why: 'http_5xx' })
  },
)

t.test('refused and unreachable were never sent', async (t) => {
  const target = {
    name: 'a',
    url: 'http://127.0.0.1:1',
    authorization: null,
    connectTimeoutMs: 300,
  }
  const pool = new Pool(target, () => 0)
  t.match(await attempt(pool).running.done, { kind: 'failed', why: 'refused', sent: false })
})

t.test('abort() ends at once and the upstream sees its connection close', async (t) => {
  const seen = { closed: false }
  const { pool, requests } = await upstream(t, (socket) =>
    socket.on('close', () => (seen.closed = true)),
  )
  const { running } = attempt(pool)
  while (requests() === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  running.stop({ kind: 'aborted' })
  t.strictSame(await running.done, { kind: 'aborted' })
  while (!seen.closed) await new Promise((resolve) => setTimeout(resolve, 5))
  t.ok(seen.closed)
})

t.test('abort() before the connection exists sends nothing', async (t) => {
  const { pool, requests } = await upstream(t, (socket) => socket.write(json(ANSWER)))
  const { running } = attempt(pool)
  running.stop({ kind: 'aborted' })
  t.strictSame(await running.done, { kind: 'aborted' })
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.equal(requests(), 0)
})

const broken = (): never => {
  throw new TypeError('ours')
}
t.test('an exception of ours while it reads an answer is one ending and is told', async (t) => {
  const fine = { push: () => ({ out: [], content: 0, failure: null }), complete: () => false }
  for (const reader of [
    { ...fine, push: broken, end: broken },
    { ...fine, end: broken },
  ]) {
    const { pool } = await upstream(t, (socket) => socket.write(json(ANSWER)))
    const { running, seen } = attempt(pool, { readerFor: () => reader })
    t.match(await running.done, { kind: 'failed', why: 'ours', code: 'upstream_protocol_error' })
    t.strictSame(seen, { status: 0, length: null, body: '', content: 0, bugs: ['TypeError: ours'] })
  }
  const { pool } = await upstream(t, (socket) => socket.write(json(ANSWER)))
  t.match(await attempt(pool, { readerFor: broken }).running.done, { kind: 'failed', why: 'ours' })
})

t.test('a connection whose answer has ended is closed with its pool', async (t) => {
  const seen = { closed: false }
  const { pool } = await upstream(t, (socket) => {
    socket.on('close', () => (seen.closed = true))
    socket.write(`${SSE}${event('{"content":"a"}', '"stop"')}data: [DONE]\n\n`)
  })
  t.equal((await attempt(pool).running.done).kind, 'finished')
  pool.close()
  while (!seen.closed) await new Promise((resolve) => setTimeout(resolve, 5))
  t.ok(seen.closed)
})

/** A whole answer of a coding, in pieces. */
const coded =
  (body: Buffer, lines: string, status = '200 OK') =>
  (socket: Socket) => {
    const head = `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\n${lines}\r\ncontent-length: `
    socket.write(`${head}${body.length}\r\n\r\n`)
    for (let at = 0; at < body.length; at += 7_000) socket.write(body.subarray(at, at + 7_000))
  }

t.test('an answer in a coding that nobody asked for is read and handed on plain', async (t) => {
  const { pool } = await upstream(t, coded(gzipSync(ANSWER), 'content-encoding: gzip'))
  for (let i = 0; i < 2; i++) {
    const { running, seen } = attempt(pool)
    t.strictSame(await running.done, { kind: 'finished' })
    t.match(seen, { status: 200, length: ANSWER.length, body: ANSWER, bugs: [] })
  }
  t.equal(pool.size, 1, 'the connection is used again')
  const error = await upstream(
    t,
    coded(gzipSync('{"error":{"message":"x"}}'), 'content-encoding: gzip', '400 No'),
  )
  t.match(await attempt(error.pool).running.done, {
    kind: 'passed',
    answer: { body: Buffer.from('{"error":{"message":"x"}}') },
  })
})

for (const [name, body, lines] of [
  ['gzip, br', gzipSync(ANSWER), 'content-encoding: gzip, br'],
  ['gzip, gzip', gzipSync(ANSWER), 'content-encoding: gzip\r\ncontent-encoding: gzip'],
  ['compress', gzipSync(ANSWER), 'content-encoding: compress'],
  ['gzip', gzipSync(ANSWER).subarray(0, -10), 'content-encoding: gzip'],
  ['zstd', gzipSync(ANSWER), 'content-encoding: zstd'],
] as const) {
  t.test(`a broken, unknown or stacked coding is named: ${lines}, ${body.length}`, async (t) => {
    const { pool } = await upstream(t, coded(body, lines))
    const ending = await attempt(pool).running.done
    t.match(ending, { kind: 'failed', code: 'upstream_protocol_error', why: 'invalid_response' })
    t.ok(ending.kind === 'failed' && ending.detail.includes(`Content-Encoding, ${name},`))
  })
}

t.test('a few bytes that become hundreds of megabytes wait for a slow client', async (t) => {
  const bomb = gzipSync(Buffer.alloc(200_000_000, ' '))
  const { pool } = await upstream(t, coded(bomb, 'content-encoding: gzip'))
  const taken = { pieces: 0 }
  const { running } = attempt(pool, {}, () => {
    taken.pieces += 1
    return false
  })
  const rest = async (): Promise<number> => {
    let last = -1
    while (taken.pieces === 0 || last !== taken.pieces) {
      last = taken.pieces
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    return last
  }
  const before = await rest()
  t.ok(before <= 3, `${before} pieces of 16 kB, after the megabyte that is held`)
  running.resume()
  t.ok((await rest()) > before, 'and goes on when the client does')
  running.stop({ kind: 'aborted' })
  t.strictSame(await running.done, { kind: 'aborted' })
})

t.test('a coded answer that breaks off is truncated, one that was complete is not', async (t) => {
  const events = `${event('{"content":"a"}')}${event('{}', '"stop"')}data: [DONE]\n\n`
  for (const [text, kind] of [
    [events, 'finished'],
    [event('{"content":"a"}'), 'cut'],
  ] as const) {
    const bytes = gzipSync(text)
    const { pool } = await upstream(t, (socket) => {
      socket.write(
        SSE.replace('\r\n\r\n', '\r\ncontent-encoding: gzip\r\ncontent-length: 9999\r\n\r\n'),
      )
      // The last eight bytes are a checksum: all of the text is there before.
      socket.write(bytes.subarray(0, -8), () => setTimeout(() => socket.destroy(), 20))
    })
    t.match(await attempt(pool).running.done, { kind })
  }
})
