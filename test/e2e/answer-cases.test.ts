import t from 'tap'
import { chat, post, readStream, servedBy } from '../support/ask.ts'
import { caseBytes, playing } from '../support/cases.ts'
import {
  chunk,
  event,
  json,
  type RawUpstream,
  rawUpstream,
  SSE_END,
  SSE_HEAD,
} from '../support/raw-upstream.ts'
import { gateOverTwoRaw } from '../support/gates.ts'
import { startGate } from '../support/start-gate.ts'

// Rows of docs/faults.md that are shown here: client-mistake-in-200, content-refused,
// key-refused-unprobed, no-models-loaded, stream-without-reason, one-prompt-never-ends,
// only-images, probe-reason-unknown, probe-parameters-refused.

// Goal: what an engine says reaches the client as what it is: its mistake, its words, its end.
// Method: raw answers after public reports, by upstreams that nobody probes; `b` is well.

// Most of it is waiting.
t.jobs = 4

for (const [name, words] of [
  ['stream-client-mistake', /^The input \(33000 tokens\) is longer than/],
  ['stream-error-field', /^the request exceeds the available context size$/],
] as const) {
  t.test(`${name}: a 400 in the engine's words, and no second upstream`, async (t) => {
    const { a, b, gate } = await gateOverTwoRaw(t, playing(name))
    for (let i = 0; i < 3; i++) {
      const answer = await chat(gate, { stream: true })
      t.equal(answer.status, 400)
      t.equal(answer.headers.get('x-should-retry'), 'false')
      t.equal(servedBy(answer), 'a')
      t.match(answer.headers.get('content-type'), /^application\/json/)
      const { error } = (await answer.json()) as { error: Record<string, unknown> }
      t.match(error, { message: words, param: null, code: 400 })
      t.type(error['type'], 'string')
    }
    t.equal(a.requests.length, 3)
    t.equal(b.requests.length, 0)
    t.equal(gate.reason('a'), 'ok', 'neutral')
  })
}

t.test('a mistake that is told after the commit deadline is a frame of its type', async (t) => {
  const bytes = caseBytes('stream-client-mistake')
  const late: RawUpstream['play'] = (socket) => void setTimeout(() => socket.write(bytes), 400)
  const { b, gate } = await gateOverTwoRaw(t, late, { GENGATE_COMMIT_DEADLINE_MS: '100' })
  const answer = await chat(gate, { stream: true })
  t.equal(answer.status, 200)
  const end = await readStream(answer)
  t.match(end.error, { message: /33000 tokens/, type: 'invalid_request_error', code: 400 })
  t.notOk(end.done)
  t.ok(end.broken)
  t.equal(b.requests.length, 0)
  t.equal(gate.reason('a'), 'ok')
})

const MISTAKE = '{"error":"context too long","error_type":"validation"}'
t.test('a mistake in a 200 body is that status, in the shape that clients read', async (t) => {
  const { b, gate } = await gateOverTwoRaw(t, (socket) => void socket.write(json(MISTAKE)))
  for (const stream of [false, true]) {
    const answer = await chat(gate, { stream })
    t.equal(answer.status, 422)
    t.match(await answer.json(), {
      error: { message: 'context too long', type: 'validation', param: null, code: null },
    })
  }
  const message = await post(
    `${gate.url}/v1/messages`,
    JSON.stringify({ model: 'default', max_tokens: 1, messages: [] }),
  )
  t.equal(message.status, 422)
  t.match(await message.json(), { type: 'error', error: { type: 'invalid_request_error' } })
  t.equal(b.requests.length, 0)
})

t.test('an error in a 200 that is no mistake of the client goes to the other', async (t) => {
  const body = '{"error":{"message":"out of memory","type":"server_error","code":500}}'
  const { gate } = await gateOverTwoRaw(t, (socket) => void socket.write(json(body)))
  const answer = await chat(gate)
  t.equal(servedBy(answer), 'b')
  t.equal(gate.reason('a'), 'live_failure')
})

const isProbe = (request: string): boolean => /user-agent: gengate-probe/i.test(request)

const refuses: RawUpstream['play'] = (socket, request) =>
  void socket.write(isProbe(request) ? json() : caseBytes('answer-content-refused'))

t.test('two clients with refused content harm nobody: a probe tells', async (t) => {
  const active = { GENGATE_A_PROBE: 'active', GENGATE_PROBE_INTERVAL_MS: '60000' }
  const { a, b, gate } = await gateOverTwoRaw(t, refuses, active)
  await gate.untilReason('a', 'ok')
  for (let i = 0; i < 2; i++) {
    const answer = await chat(gate)
    t.equal(answer.status, 403)
    t.equal(servedBy(answer), 'a')
    t.match(await answer.json(), { error: { code: 'content_refused' } }, 'as it came')
  }
  const probes = (): number => a.requests.filter(isProbe).length
  t.equal(gate.reason('a'), 'ok')
  await gate.until(() => probes() > 1)
  t.equal(gate.reason('a'), 'ok', 'its own probe passed')
  t.equal(b.requests.length, 0)
})

t.test('a key that is refused from now on is found by the probe after a live 401', async (t) => {
  let good = true
  const refusal = json('{"error":"Unauthorized"}', { status: '401 Unauthorized' })
  const play: RawUpstream['play'] = (socket) => void socket.write(good ? json() : refusal)
  const active = { GENGATE_A_PROBE: 'active', GENGATE_PROBE_INTERVAL_MS: '60000' }
  const { gate } = await gateOverTwoRaw(t, play, active)
  await gate.untilReason('a', 'ok')
  good = false
  t.equal((await chat(gate)).status, 401)
  await gate.untilReason('a', 'unauthorized')
  t.equal(servedBy(await chat(gate)), 'b')
})

t.test('where nobody probes, three refusals in a row are about our key', async (t) => {
  const refusal = caseBytes('answer-content-refused')
  let good = false
  const { gate } = await gateOverTwoRaw(t, (socket) => void socket.write(good ? json() : refusal))
  const askThrice = async (): Promise<string[]> => {
    const served: string[] = []
    for (let i = 0; i < 3; i++) {
      served.push(servedBy(await chat(gate)) ?? '')
    }
    return served
  }
  t.equal((await chat(gate)).status, 403)
  t.equal((await chat(gate)).status, 403)
  good = true
  t.equal((await chat(gate)).status, 200, 'one that is served begins the count anew')
  good = false
  t.strictSame(await askThrice(), ['a', 'a', 'a'])
  t.equal(gate.reason('a'), 'unauthorized')
  t.strictSame(await askThrice(), ['b', 'b', 'b'])
})

t.test('an engine with no model in memory leaves the request to another', async (t) => {
  const play = playing('answer-no-models-loaded')
  const { a, gate } = await gateOverTwoRaw(t, play, { GENGATE_A_ENGINE: 'lmstudio' })
  t.equal(servedBy(await chat(gate)), 'b')
  t.equal(gate.reason('a'), 'model_not_loaded')
  gate.reload({
    GENGATE_UPSTREAMS: `a=${a.url}`,
    GENGATE_A_PROBE: 'active',
    GENGATE_A_MODEL: 'm',
    GENGATE_A_ENGINE: 'lmstudio',
  })
  await gate.untilReason('a', 'model_not_loaded')
  t.equal(gate.reason('a'), 'model_not_loaded', 'not: it does not know the model')
  const asked = a.requests.length
  const alone = await chat(gate, { stream: false })
  t.equal(alone.status, 503)
  t.match(await alone.json(), { error: { message: /model_not_loaded/ } })
  t.ok(a.requests.slice(asked).every(isProbe), 'nor asked to load it')
})

t.test('an engine with no model in memory that is alone says so itself', async (t) => {
  const a = await rawUpstream(t, playing('answer-no-models-loaded'))
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: `a=${a.url}`,
    GENGATE_A_PROBE: 'off',
    GENGATE_A_MODEL: 'm',
    GENGATE_HOLD_MS: '100',
  })
  const answer = await chat(gate)
  t.equal(answer.status, 400)
  t.match(await answer.json(), { error: { message: /^No models loaded/ } })
})

t.test('an engine that gives no reason is judged by [DONE], until a stream has one', async (t) => {
  let bytes = caseBytes('stream-finish-empty')
  const { gate, b } = await gateOverTwoRaw(t, (socket) => void socket.write(bytes))
  const derived = (): unknown => gate.app.store.current.entries[0]?.facts.streamEnd
  for (let i = 0; i < 2; i++) {
    const end = await readStream(await chat(gate, { stream: true }))
    t.match(end, { text: 'one two three', done: true, broken: false, error: null })
  }
  t.equal(derived(), 'done')
  t.equal(gate.reason('a'), 'ok')
  bytes = Buffer.from(SSE_HEAD + chunk(event('x', 'stop')) + SSE_END)
  t.ok((await readStream(await chat(gate, { stream: true }))).done)
  t.equal(derived(), 'finish_reason')
  bytes = caseBytes('stream-finish-empty')
  const cut = await readStream(await chat(gate, { stream: true }))
  t.notOk(cut.done, 'from then on it is held to that')
  t.equal(cut.error?.code, 'upstream_truncated')
  t.equal(b.requests.length, 0)
})

for (const [engine, rule, done] of [
  ['vllm', 'auto', false],
  ['vllm', 'done', true],
  ['openai', 'finish_reason', false],
  ['llamaswap', 'auto', true],
] as const) {
  t.test(`no reason at ${engine} with STREAM_END ${rule}: an end? ${done}`, async (t) => {
    const env = { GENGATE_A_ENGINE: engine, GENGATE_A_STREAM_END: rule }
    const { gate } = await gateOverTwoRaw(t, playing('stream-finish-empty'), env)
    const end = await readStream(await chat(gate, { stream: true }))
    t.equal(end.done, done)
    t.equal(end.error === null, done)
  })
}

t.test('two prompts of which one never ends are no whole answer', async (t) => {
  const { gate } = await gateOverTwoRaw(t, playing('stream-two-prompts'))
  const body = JSON.stringify({ model: 'default', prompt: ['a', 'b'], stream: true })
  const end = await readStream(await post(`${gate.url}/v1/completions`, body))
  t.notOk(end.done)
  t.equal(end.error?.code, 'upstream_truncated')
})

function choice(delta: object): string {
  return chunk(
    `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`,
  )
}

t.test('images are content, also more than a megabyte of them', async (t) => {
  let bytes = caseBytes('stream-images')
  const { gate, b } = await gateOverTwoRaw(t, (socket) => void socket.write(bytes))
  t.ok((await readStream(await chat(gate, { stream: true }))).done)
  const image = { images: [{ url: 'A'.repeat(300_000) }] }
  const images = Array.from({ length: 5 }, () => choice(image)).join('')
  bytes = Buffer.from(SSE_HEAD + images + SSE_END)
  const end = await readStream(await chat(gate, { stream: true }))
  t.ok(end.done)
  t.equal(end.events.length, 6)
  t.equal(b.requests.length, 0)
})

const ANY = /./
for (const [name, refuses, form] of [
  ['probe-finish-null', ANY, null],
  ['probe-finish-eos', ANY, null],
  ['probe-one-token-500', /"max_tokens":1\b/, '4 tokens'],
  ['probe-temperature-422', /"temperature"/, 'no temperature'],
  ['probe-field-name-400', /"max_tokens"/, 'max_completion_tokens'],
] as const) {
  t.test(`${name}: the engine is ok, and the probe's form is told`, async (t) => {
    const a = await rawUpstream(t, (socket, request) => {
      const refused = isProbe(request) && refuses.test(request)
      socket.write(refused ? caseBytes(name) : json())
    })
    const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}`, GENGATE_A_MODEL: 'm' })
    await gate.untilReason('a', 'ok')
    const status = await (await fetch(`${gate.url}/gate/status`)).json()
    t.match(status, { upstreams: [{ derived: { probe_form: form } }] })
    const before = a.requests.length
    await chat(gate)
    await gate.until(() => a.requests.length > before + 1)
    const next = a.requests.slice(before).find(isProbe) ?? ''
    t.equal(refuses.test(next), form === null, 'what works is kept')
  })
}
