import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { chat, readStream, servedBy } from '../support/ask.ts'
import {
  answerOf,
  chunk,
  event,
  json,
  type RawUpstream,
  SSE_END,
  SSE_HEAD,
} from '../support/raw-upstream.ts'
import { gateOverOne, gateOverRaw, gateOverTwoRaw } from '../support/gates.ts'

// Goal: an upstream that answers wrongly, too early, too slowly or too much gives the client one
// clean error or the other upstream's answer, and leaves nothing behind on any connection.
// Method: upstreams of raw bytes, which nobody probes.

// Most of it is waiting.
t.jobs = 4

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function overRaw(t: Test, play: RawUpstream['play'], env: Record<string, string> = {}) {
  const { gate, ups } = await gateOverRaw(t, [play], env)
  return { gate, up: ups[0] as RawUpstream }
}

// Fails without: dropping a connection whose request was not all sent (`give` of proxy/upstream/pools.ts).
t.test('F40 an early 413 reaches the client, and its connection is not used again', async (t) => {
  const { up, gate } = await overRaw(t, (socket) => void socket.write(json()))
  up.onHead = (socket, head) => {
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
    if (length < 1_000_000) return
    socket.write(json('{"error":{"message":"too large"}}', { status: '413 Content Too Large' }))
    socket.pause()
  }
  const messages = [{ role: 'user', content: 'x'.repeat(8_000_000) }]
  const answer = await chat(gate, { messages })
  t.equal(answer.status, 413)
  t.match(await answer.json(), { error: { message: 'too large' } })
  const next = await chat(gate)
  t.equal(next.status, 200)
  t.match(await next.json(), { choices: [{ message: { content: 'raw' } }] })
  t.equal(up.requests.length, 1, 'whole on a connection of its own')
})

const saying =
  (bytes: string): RawUpstream['play'] =>
  (socket) =>
    void socket.write(Buffer.from(bytes, 'latin1'))

const NO_HTTP: Record<string, string> = {
  'a head of 100 KB': `HTTP/1.1 200 OK\r\nx-a: ${'b'.repeat(100_000)}\r\n\r\n`,
  'Content-Length and Transfer-Encoding':
    'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  garbage: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  'a bad chunk size in a unary body':
    'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"cho\r\nzz\r\n',
}
// Fails without: UND_ERR_RES_CONTENT_LENGTH_MISMATCH, HPE_ and the others of `protocol` in
// errors/transport.ts.
for (const [name, bytes] of Object.entries(NO_HTTP)) {
  t.test(`F41 ${name} is answered by the other, or is one 502`, async (t) => {
    const alone = await overRaw(t, saying(bytes))
    const lost = await chat(alone.gate)
    t.equal(lost.status, 502)
    t.match(await lost.json(), { error: { code: /^upstream_(protocol_error|truncated)$/ } })
    const { gate } = await gateOverTwoRaw(t, saying(bytes))
    t.match(await (await chat(gate)).json(), { choices: [{ message: { content: 'b' } }] })
  })
}

// Fails without: room for some of them (HINTS_MAX of proxy/upstream/attempt.ts, at 0).
t.test('F41 informational answers before the answer are passed over', async (t) => {
  const hints = 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'.repeat(20)
  const { gate } = await overRaw(t, (socket) => void socket.write(hints + json()))
  for (let i = 0; i < 3; i++) {
    const answer = await chat(gate)
    t.equal(answer.status, 200)
    t.notOk(answer.headers.has('link'))
    t.match(await answer.json(), { choices: [{ message: { content: 'raw' } }] })
  }
})

// Fails without: their limit (HINTS_MAX of proxy/upstream/attempt.ts).
t.test('F41 a flood of informational answers is one 502', async (t) => {
  const flood = 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)
  const { up, gate } = await overRaw(t, (socket) => {
    const pour = (): void =>
      void (socket.destroyed || socket.write(flood, () => setTimeout(pour, 1)))
    pour()
  })
  const answer = await chat(gate)
  t.equal(answer.status, 502)
  t.match(await answer.json(), { error: { code: 'upstream_protocol_error' } })
  await gate.until(() => up.sockets.size === 0)
})

// Fails without: keeping such an answer back (`failedByStatus` of proxy/upstream/failed.ts).
t.test('F41 a status of 999 is one 502', async (t) => {
  const { gate } = await overRaw(t, (socket) => void socket.write(json('{}', { status: '999 X' })))
  const answer = await chat(gate)
  t.equal(answer.status, 502)
  t.match(await answer.json(), { error: { code: 'upstream_protocol_error' } })
})

// Fails without: looking at what is left over at the end (`end` of proxy/answer/stream-reader.ts).
for (const tail of ['data: [DO', 'data: {"choices":[],"usage":{"tot']) {
  t.test(`F11 EOF-framed and cut in its last event: ${tail}`, async (t) => {
    const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n'
    const { gate } = await overRaw(
      t,
      (socket) => void socket.end(`${head}${event('text')}${event('', 'stop')}${tail}`),
    )
    const response = await chat(gate, { stream: true })
    let raw = ''
    await t.rejects(async () => {
      const decoder = new TextDecoder()
      for await (const piece of response.body ?? []) raw += decoder.decode(piece)
    })
    t.match(raw, /"upstream_truncated"/)
    t.notOk(raw.includes(tail), 'half an event goes to nobody')
  })
}

// Fails without: telling half an event from a whole one that lacks its blank line (`isRagged` there).
for (const tail of ['data: [DONE]', 'data: {"choices":[],"usage":{"total_tokens":2}}', ': bye']) {
  t.test(`EOF-framed and whole but for its last blank line: ${tail}`, async (t) => {
    const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n'
    const whole = `${event('text')}${event('', 'stop')}${tail}`
    const { gate } = await overRaw(t, (socket) => void socket.end(head + whole))
    const text = await (await chat(gate, { stream: true })).text()
    t.ok(text.endsWith(tail) && text.includes('"stop"'), text)
  })
}

/** Writes these pieces with so much time between them. */
async function slowly(socket: Socket, pieces: readonly string[], gapMs: number): Promise<void> {
  for (const piece of pieces) {
    if (socket.destroyed) return
    socket.write(piece)
    await pause(gapMs)
  }
}

// Fails without: counting content events alone as progress (`push` of proxy/answer/stream-reader.ts).
t.test('F42 a trickle of bytes is no progress, a trickle of events is', async (t) => {
  // An event that never becomes whole, a byte at a time.
  const bytes = Array.from({ length: 400 }, () => chunk('x'))
  const { a, b, gate } = await gateOverTwoRaw(
    t,
    (socket) => void slowly(socket, [SSE_HEAD, chunk('data: {"a":"'), ...bytes], 50),
    { GENGATE_DETECT_WITHIN_MS: '1000', GENGATE_PROBE_INTERVAL_MS: '500' },
  )
  const saved = await chat(gate, { stream: true })
  t.equal(servedBy(saved), 'b')
  t.ok((await readStream(saved)).done)
  t.equal(a.requests.length, 1)
  t.equal(b.requests.length, 1)
  const tokens = Array.from({ length: 6 }, (_, i) => chunk(event(`t${i} `)))
  b.play = (socket) => void slowly(socket, [SSE_HEAD, ...tokens, SSE_END], 400)
  const slow = await readStream(await chat(gate, { stream: true }))
  t.ok(slow.done, 'a slow stream lives')
  t.equal(slow.text, 't0 t1 t2 t3 t4 t5 ')
})

// Fails without: the comments of a pending answer (`#keepAlive` of proxy/answer/writer.ts).
t.test('F43 comments alone: the only upstream is waited for, ours keep the client', async (t) => {
  const { a, gate } = await gateOverOne(t, {}, { GENGATE_COMMIT_DEADLINE_MS: '300' })
  a.headersOnly()
  const asked = chat(gate, { stream: true })
  const answer = await asked
  t.equal(servedBy(answer), 'pending', "none of the upstream's own went out")
  await pause(1_000)
  a.ok()
  const end = await readStream(answer)
  t.ok(end.done)
  t.ok(end.comments.some((line) => line.includes('keep-alive')))
  t.ok(end.comments.some((line) => line.includes('gengate upstream=a')))
  t.equal(a.generations.filter((one) => one.body.includes('"hi"')).length, 1, 'asked for once')
})

// Fails without: taking a broken connection for a cut (the end of `#onError`, proxy/upstream/attempt.ts).
t.test('a Content-Length that is too long is a cut, before and after the commit', async (t) => {
  const small = answerOf('short')
  const lie: RawUpstream['play'] = (socket) =>
    void socket.end(json(small, { length: small.length + 100 }))
  const { gate } = await gateOverTwoRaw(t, lie)
  t.match(await (await chat(gate)).json(), { choices: [{ message: { content: 'b' } }] })
  const large = answerOf('x'.repeat(3_000_000))
  const late: RawUpstream['play'] = (socket) =>
    void socket.end(json(large, { length: large.length + 100 }))
  const alone = await overRaw(t, late)
  const answer = await chat(alone.gate)
  t.equal(answer.status, 200, 'it is beyond what is held')
  await t.rejects(answer.text(), 'and never ends properly')
})

// Fails without: judging the held body (proxy/answer/reader.ts).
t.test('a Content-Length that is too short never gives half an answer', async (t) => {
  const body = answerOf('a text that is longer than its length says')
  const play: RawUpstream['play'] = (socket) =>
    void socket.write(json(body, { length: body.length - 30 }))
  const { a, gate } = await gateOverTwoRaw(t, play)
  for (let i = 0; i < 3; i++) {
    t.match(await (await chat(gate)).json(), { choices: [{ message: { content: 'b' } }] })
  }
  // Whatever of it came too late must not be read as the next answer.
  a.play = (socket) => void socket.write(json(answerOf('a')))
  await gate.until(() => gate.reason('a') === 'ok')
  t.match(await (await chat(gate)).json(), { choices: [{ message: { content: 'a' } }] })
})
