import { readFileSync } from 'node:fs'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { chatBody, post, readStream } from '../support/ask.ts'
import {
  answerOf,
  chunk,
  event,
  json,
  type RawUpstream,
  rawUpstream,
  SSE_END,
  SSE_HEAD,
} from '../support/raw-upstream.ts'
import { gateOverRaw } from '../support/gates.ts'
import { startGate, type TestGate } from '../support/start-gate.ts'

// Rows of docs/faults.md that are shown here: open-after-done, error-after-done, large-last-event,
// two-content-types, error-cut-short, json-labelled-stream, byte-order-mark, unasked-coding,
// crash-on-request, stale-connection, padding-after-coding, full-and-cut.

// Goal: how the bytes of an answer end, break or lie about themselves never decides what a client
// gets.
// Method: upstreams of raw bytes, which nobody probes.

const fixture = (name: string): Buffer =>
  readFileSync(new URL(`../fixtures/cases/${name}.http`, import.meta.url))
const playing =
  (bytes: Buffer | string): RawUpstream['play'] =>
  (socket) =>
    void socket.write(bytes)

const ENDS = Object.fromEntries(
  ['A', 'B', 'C'].map((name) => [`GENGATE_${name}_STREAM_END`, 'finish_reason']),
)
const gateOver = (t: Test, ...plays: RawUpstream['play'][]) => gateOverRaw(t, plays, ENDS)
const chat = (gate: TestGate, over: Record<string, unknown> = {}) =>
  post(`${gate.url}/v1/chat/completions`, chatBody(over), { signal: AbortSignal.timeout(5_000) })
const stream = (gate: TestGate) => chat(gate, { stream: true })
const inFlight = async (gate: TestGate): Promise<number> => {
  const status = await (await fetch(`${gate.url}/gate/status`)).json()
  return (status as { upstreams: { in_flight: number }[] }).upstreams[0]?.in_flight ?? -1
}

t.test('a stream ends with its [DONE], though the engine leaves its body open', async (t) => {
  const { gate, ups } = await gateOver(t, playing(fixture('stream-open-after-done')))
  const seen = await readStream(await stream(gate))
  t.match(seen, { text: 'one two', done: true, broken: false, error: null })
  t.equal(await inFlight(gate), 0, 'and is not in flight any more')
  await gate.until(() => ups[0]?.sockets.size === 0, 3_000)
  t.equal(gate.reason('a'), 'ok')
})

t.test('an engine that ends its body a little later keeps its connection', async (t) => {
  const { gate, ups } = await gateOver(t, (socket) => {
    const whole = SSE_HEAD + chunk(event('a')) + SSE_END
    socket.write(whole.slice(0, -5))
    setTimeout(() => socket.write(whole.slice(-5)), 100)
  })
  for (let i = 0; i < 3; i++) {
    t.match(await readStream(await stream(gate)), { text: 'a', done: true, broken: false })
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  t.equal(ups[0]?.sockets.size, 1)
})

t.test('an error after the end of a stream is no part of it', async (t) => {
  const late = `data: {"error":{"message":"late"}}\n\n`
  for (const parted of [true, false]) {
    const { gate } = await gateOver(t, (socket) => {
      const end = chunk(event('', 'stop') + (parted ? '' : `data: [DONE]\n\n${late}`))
      socket.write(SSE_HEAD + chunk(event('a')) + end)
      if (parted) socket.write(chunk('data: [DONE]\n\n') + chunk(late))
    })
    const seen = await readStream(await stream(gate))
    t.match(seen, { text: 'a', done: true, broken: false, error: null })
    t.equal(gate.reason('a'), 'ok')
  }
})

t.test('a last event of over a megabyte is read, whatever the order of its keys', async (t) => {
  const text = 'x'.repeat(1_500_000)
  const last = `data: {"choices":[{"finish_reason":"stop","index":0,"delta":{"content":"${text}"}}]}\n\n`
  const { gate } = await gateOver(t, (socket) => {
    socket.write(SSE_HEAD + chunk(event('a')) + chunk(last) + chunk('data: [DONE]\n\n'))
  })
  const seen = await readStream(await stream(gate))
  t.match(seen, { done: true, broken: false, error: null })
  t.equal(seen.text.length, text.length + 1)
})

t.test('a large event that is no end leaves the stream unfinished', async (t) => {
  const large = event('x'.repeat(1_500_000))
  const { gate } = await gateOver(t, (socket) => {
    socket.end(SSE_HEAD + chunk(event('a')) + chunk(large) + chunk('data: [DONE]\n\n0\r\n\r\n'))
  })
  t.match(await readStream(await stream(gate)), {
    done: false,
    error: { code: 'upstream_truncated' },
  })
})

t.test('a Content-Type sent twice counts once', async (t) => {
  const { gate } = await gateOver(t, playing(fixture('answer-two-content-types')))
  for (const path of ['/v1/embeddings', '/v1/unknown']) {
    const answer = await post(`${gate.url}${path}`, '{"model":"m","input":"a"}')
    t.equal(answer.status, 200, path)
    t.equal(answer.headers.get('content-type'), 'application/json')
    t.match(await answer.json(), { data: [{ embedding: [0.1] }] })
  }
})

t.test('two different Content-Types are a whole 502, never an empty 200', async (t) => {
  const twice = json(answerOf('a'), { lines: ['content-type: text/event-stream'] })
  const { gate } = await gateOver(t, playing(twice))
  for (const path of ['/v1/chat/completions', '/v1/unknown']) {
    const answer = await post(`${gate.url}${path}`, chatBody())
    t.equal(answer.status, 502, path)
    const { error } = (await answer.json()) as { error: { code: string; message: string } }
    t.equal(error.code, 'upstream_protocol_error')
    t.match(error.message, /two different Content-Types/)
  }
})

for (const [name, answer] of [
  ['400', fixture('answer-400-cut-short')],
  ['500', json('{"error":{"message":"boom"}}', { status: '500 Oops', length: 500 })],
  ['404 that is about a model', json('{"model":1}', { status: '404 No', length: 500 })],
] as const) {
  t.test(`a ${name} whose body breaks off is a whole error of the gate's own`, async (t) => {
    const { gate } = await gateOver(t, (socket) => void socket.end(answer))
    const seen = await chat(gate)
    t.equal(seen.status, 502)
    t.match(await seen.json(), { error: { code: /^upstream_/ } })
  })
}

for (const status of ['429 Too Many Requests', '503 Busy']) {
  t.test(`a ${status} whose body breaks off keeps its status and Retry-After`, async (t) => {
    const lines = ['retry-after: 7']
    const answer = json('{"error":{"message":"busy"}}', { status, length: 500, lines })
    const { gate } = await gateOver(t, (socket) => void socket.end(answer))
    const seen = await chat(gate)
    t.equal(seen.status, Number(status.slice(0, 3)))
    t.equal(seen.headers.get('retry-after'), '7')
    t.match(await seen.json(), { error: { code: 'upstream_error' } })
  })
}

t.test('a 400 whose body breaks off is asked of the next upstream', async (t) => {
  const whole = json('{"error":{"message":"too long"}}', { status: '400 Bad Request' })
  const { gate } = await gateOver(
    t,
    (socket) => void socket.end(fixture('answer-400-cut-short')),
    playing(whole),
  )
  const seen = await chat(gate)
  t.equal(seen.status, 400)
  t.match(await seen.json(), { error: { message: 'too long' } })
})

for (const name of [
  'stream-labelled-json',
  'stream-json-inside',
  'stream-gzip-unasked',
  'stream-bom',
]) {
  t.test(`${name}: a stream, whatever it says it is`, async (t) => {
    const { gate, ups } = await gateOver(t, playing(fixture(name)))
    const answer = await stream(gate)
    t.equal(answer.status, 200)
    t.match(answer.headers.get('content-type'), /^text\/event-stream/)
    t.equal(answer.headers.get('content-encoding'), null)
    const seen = await readStream(answer)
    t.match(seen, { text: 'one two', done: true, broken: false, error: null })
    for (const data of seen.events)
      t.equal((JSON.parse(data) as { model: string }).model, 'default')
    t.match(ups[0]?.requests[0], /accept-encoding: identity/i)
  })
}

t.test('a stream labelled JSON goes on as it comes', async (t) => {
  const { gate, ups } = await gateOver(t, (socket) => {
    socket.write(SSE_HEAD.replace('text/event-stream', 'application/json') + chunk(event('a')))
  })
  const body = (await stream(gate)).body?.getReader()
  const first = await body?.read()
  t.match(Buffer.from(first?.value ?? []).toString(), /"content":"a"/)
  const [socket] = ups[0]?.sockets ?? []
  socket?.write(SSE_END)
  let rest = ''
  for (;;) {
    const next = await body?.read()
    if (next?.value === undefined) break
    rest += Buffer.from(next.value).toString()
  }
  t.match(rest, /\[DONE\]/)
})

t.test('a coding that nobody can read is a 502 that names it', async (t) => {
  const { gate } = await gateOver(
    t,
    playing(json(answerOf('a'), { lines: ['content-encoding: gzip, br'] })),
  )
  const answer = await chat(gate)
  t.equal(answer.status, 502)
  const { error } = (await answer.json()) as { error: { code: string; message: string } }
  t.equal(error.code, 'upstream_protocol_error')
  t.match(error.message, /gzip, br/)
})

t.test('what follows the end of a coding does not keep a client waiting', async (t) => {
  const padding = '\0'.repeat(200_000)
  for (const [coding, code] of [
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ] as const) {
    const { gate } = await gateOver(t, (socket) => {
      const body = Buffer.concat([code(answerOf('a')), Buffer.from(padding)])
      const type = `content-type: application/json\r\ncontent-encoding: ${coding}`
      socket.write(`HTTP/1.1 200 OK\r\n${type}\r\ncontent-length: ${body.length}\r\n\r\n`)
      socket.write(body)
    })
    const answer = await chat(gate)
    t.equal(answer.status, 200, coding)
    t.match(await answer.text(), /"content":"a"/)
    t.equal(await inFlight(gate), 0)
  }
})

t.test('what nobody judges keeps its coding', async (t) => {
  const { gate } = await gateOver(t, (socket) => {
    const body = gzipSync('{"plain":true}')
    socket.write(
      `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`,
    )
    socket.write(body)
  })
  const answer = await post(`${gate.url}/v1/unknown`, '{}')
  t.equal(answer.headers.get('content-encoding'), 'gzip')
  t.strictSame(await answer.json(), { plain: true })
})

t.test('a probe reads an answer in a coding, and with its type twice', async (t) => {
  const up = await rawUpstream(t, (socket) => {
    const body = gzipSync(answerOf('a'))
    const lines = 'content-encoding: gzip\r\ncontent-type: application/json\r\n'.repeat(1)
    socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n${lines}`)
    socket.write(`content-length: ${body.length}\r\n\r\n`)
    socket.write(body)
  })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${up.url}`, GENGATE_A_MODEL: 'm' })
  await gate.untilReason('a', 'ok')
  t.equal((await chat(gate)).status, 200)
})

t.test('a generation runs twice at most, and each run is counted', async (t) => {
  let kill = false
  const play: RawUpstream['play'] = (socket) => {
    if (!kill) return void socket.write(json())
    // It reads the whole request, works on it, and dies.
    setTimeout(() => socket.resetAndDestroy(), 500)
  }
  const { gate, ups } = await gateOver(t, play, play)
  t.equal((await chat(gate)).status, 200)
  // The other has a used connection as well.
  gate.reload({
    GENGATE_UPSTREAMS: `b=${ups[1]?.url},a=${ups[0]?.url}`,
    GENGATE_A_PROBE: 'off',
    GENGATE_A_MODEL: 'm',
    GENGATE_B_PROBE: 'off',
    GENGATE_B_MODEL: 'm',
  })
  t.equal((await chat(gate)).status, 200)
  t.strictSame(
    ups.map((up) => up.requests.length),
    [1, 1],
  )
  kill = true
  const answer = await chat(gate)
  t.equal(answer.status, 502)
  t.equal(answer.headers.get('x-should-retry'), 'false')
  t.strictSame(
    ups.map((up) => up.requests.length),
    [2, 2],
    'two runs in all',
  )
  const line = gate.lines.findLast((one) => one.includes('"attempts"'))
  t.match(line, /"attempts":2/)
})

t.test('a used connection that had died costs an attempt, and is counted', async (t) => {
  let kill = false
  const { gate, ups } = await gateOver(t, (socket) => {
    if (kill) socket.resetAndDestroy()
    else socket.write(json())
    kill = false
  })
  t.equal((await chat(gate)).status, 200)
  kill = true
  t.equal((await chat(gate)).status, 200)
  t.equal(ups[0]?.requests.length, 3)
  t.match(
    gate.lines.findLast((one) => one.includes('"attempts"')),
    /"attempts":2/,
  )
  const metrics = await (await fetch(`${gate.url}/metrics`)).text()
  t.match(metrics, /gengate_replays_total\{upstream="a"\} 1/)
  t.equal(gate.reason('a'), 'ok', 'and is held against nobody')
})
