import t, { type Test } from 'tap'
import { chatBody, post, readStream, servedBy } from '../support/ask.ts'
import { chaosProxy } from '../support/chaos-proxy.ts'
import type { Cut } from '../support/fake-answer.ts'
import { type FakeUpstream, fakeUpstream } from '../support/fake-upstream.ts'
import { rawUpstream } from '../support/raw-upstream.ts'
import { startGate, type TestGate } from '../support/start-gate.ts'
import { gateOverTwo } from '../support/gates.ts'

// Goal: whatever becomes of a connection to an upstream, the client gets one whole answer or one
// error.
//
// Above each test stands what it fails without, as seen in a copy of the source.

const chat = (gate: TestGate, over: Record<string, unknown> = {}) =>
  post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true, ...over }))
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const ofClients = (up: FakeUpstream) => up.generations.filter((one) => one.body.includes('"hi"'))

// Fails without: the cut of a committed stream at a proven wedge (core/exchange/trying.ts).
t.test('F07, F29 a half-open upstream: streams end as errors, requests move on', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'], tokens: 5_000, gapMs: 20 })
  const b = await fakeUpstream(t, { models: ['m'] })
  const proxy = await chaosProxy(t, a.port)
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: `a=${proxy.url},b=${b.url}`,
    GENGATE_DETECT_WITHIN_MS: '1500',
    GENGATE_PROBE_INTERVAL_MS: '500',
  })
  await gate.untilReason('a', 'ok')
  await gate.untilReason('b', 'ok')
  const streams = await Promise.all([1, 2, 3].map(() => chat(gate)))
  const ends = Promise.all(streams.map(readStream))
  await gate.until(() => ofClients(a).length === 3)
  await pause(600)
  proxy.silence()
  const late = await chat(gate)
  t.equal(servedBy(late), 'b')
  t.ok((await readStream(late)).done)
  for (const end of await ends) {
    t.ok(end.text.length > 0)
    t.notOk(end.done)
    t.equal(end.error?.code, 'upstream_stalled')
    t.ok(end.broken)
  }
  t.ok(ofClients(a).length <= 4, 'none was sent there again')
  proxy.heal()
  await gate.until(() => ofClients(a).every((one) => one.ended !== null))
  await gate.untilReason('a', 'ok', 'ok_by_traffic')
})

// Fails without: holding a JSON answer to its end (HELD_BYTES_MAX = 0 in proxy/answer/reader.ts).
for (const how of ['reset', 'fin', 'chunked-end', 'eof-framed'] as const satisfies Cut[]) {
  t.test(`F12 ${how} inside a unary body is answered by the other, or is one 502`, async (t) => {
    const { a, b, gate } = await gateOverTwo(t, { tokens: 50 })
    a.cutAfter(0, how)
    const saved = await chat(gate, { stream: false })
    t.equal(saved.status, 200)
    t.equal(servedBy(saved), 'b')
    t.match(await saved.json(), { choices: [{ finish_reason: 'stop' }] })
    b.cutAfter(0, how)
    const lost = await chat(gate, { stream: false })
    t.equal(lost.status, 502)
    t.match(await lost.json(), { error: { code: /^upstream_(truncated|protocol_error)$/ } })
  })
}

// Fails without: SENT_MAX (proxy/upstream/failed.ts).
t.test('F16 upstreams that close without a word: two are asked, then one 502', async (t) => {
  const ups = await Promise.all(
    [1, 2, 3].map(() => rawUpstream(t, (socket) => void socket.destroy())),
  )
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: ups.map(({ url }, i) => `u${i}=${url}`).join(','),
    ...Object.fromEntries(ups.map((_, i) => [`GENGATE_U${i}_PROBE`, 'off'])),
    ...Object.fromEntries(ups.map((_, i) => [`GENGATE_U${i}_MODEL`, 'm'])),
  })
  const answer = await chat(gate)
  t.equal(answer.status, 502)
  t.match(await answer.json(), { error: { code: 'upstream_unreachable' } })
  t.strictSame(
    ups.map(({ requests }) => requests.length),
    [1, 1, 0],
  )
})

async function overRaw(t: Test, play: Parameters<typeof rawUpstream>[1]) {
  const up = await rawUpstream(t, play)
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: `a=${up.url}`,
    GENGATE_A_PROBE: 'off',
    GENGATE_A_MODEL: 'm',
  })
  return { up, gate }
}

// Fails without: the replay of a reused connection (`#onError` of proxy/upstream/attempt.ts).
t.test('F38 the race with an upstream that closes an idle connection is never seen', async (t) => {
  let request = 0
  const { up, gate } = await overRaw(t, (socket) => {
    request++
    // Every second one finds its connection closed as it is written.
    if (request % 3 === 2) socket.resetAndDestroy()
    else socket.write(OK)
  })
  for (let i = 0; i < 10; i++) {
    const answer = await chat(gate, { stream: false })
    t.equal(answer.status, 200)
    await answer.text()
  }
  t.equal(gate.reason('a'), 'ok', 'it is no evidence')
  t.ok(up.requests.length > 10, 'and some were sent twice')
})

// Fails without: asking whether anything was received (`heard` in `#onError`, proxy/upstream/attempt.ts).
t.test('F38 a reused connection that breaks within its answer is not tried again', async (t) => {
  let request = 0
  const { up, gate } = await overRaw(t, (socket) => {
    if (++request === 1) socket.write(OK)
    else socket.write('HTTP/1.1 200 O', () => setTimeout(() => socket.destroy(), 20))
  })
  await (await chat(gate, { stream: false })).text()
  t.equal((await chat(gate, { stream: false })).status, 502)
  t.equal(up.requests.length, 2, 'it had begun to answer')
})

// Fails without: counting a request as sent once its replay fails (`#onError`, proxy/upstream/attempt.ts).
t.test('F38 a replay that is refused does not let a third upstream see the request', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  const proxy = await chaosProxy(t, a.port)
  const [b, c] = await Promise.all(
    [1, 2].map(() => rawUpstream(t, (socket) => void socket.destroy())),
  )
  const off = ['A', 'B', 'C'].map((name) => [`GENGATE_${name}_PROBE`, 'off'])
  const models = ['A', 'B', 'C'].map((name) => [`GENGATE_${name}_MODEL`, 'm'])
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: `a=${proxy.url},b=${b?.url},c=${c?.url}`,
    ...Object.fromEntries([...off, ...models]),
  })
  t.equal((await chat(gate, { stream: false })).status, 200)
  // The request arrives, then its connection breaks and nobody listens any more.
  a.options.ttftMs = 10_000
  const asked = chat(gate, { stream: false })
  await gate.until(() => ofClients(a).length === 2)
  await proxy.refuse()
  t.equal((await asked).status, 502)
  t.strictSame([b?.requests.length, c?.requests.length], [1, 0], 'a and b have seen it')
})

const BODY = '{"choices":[{"index":0,"message":{"content":"ok"},"finish_reason":"stop"}]}'
const OK = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`
