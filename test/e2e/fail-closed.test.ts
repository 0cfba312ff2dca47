import t from 'tap'
import { chatBody, post, readStream } from '../support/ask.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { startGate } from '../support/start-gate.ts'
import { gateOverOne, gateOverTwo } from '../support/gates.ts'

// Rows of docs/bad-input.md that are shown here: errors-of-messages.
// Rows of docs/faults.md that are shown here: F22, F25.

// Goal: with nobody to generate, a request is held for a moment, then refused with the reason per
// upstream and a time to come back; what comes back meanwhile serves it.

// Most of it is waiting.
t.jobs = 4

const url = (gate: { url: string }) => `${gate.url}/v1/chat/completions`

t.test('nothing to serve is a reasoned 503 after the hold', async (t) => {
  const a = await fakeUpstream(t)
  await a.refuse()
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}`, GENGATE_HOLD_MS: '300' })
  await gate.untilReason('a', 'refused')
  const answer = await post(url(gate), chatBody())
  t.equal(answer.status, 503)
  t.match(answer.headers.get('retry-after'), /^[1-9]\d?$/)
  t.match(answer.headers.get('retry-after-ms'), /^\d+$/)
  t.match(answer.headers.get('x-request-id'), /./)
  const { error } = (await answer.json()) as { error: Record<string, unknown> }
  t.strictSame(Object.keys(error), ['message', 'type', 'param', 'code'])
  t.equal(error['code'], 'no_eligible_upstream')
  t.match(error['message'], /a: refused for/)
  const models = await fetch(`${gate.url}/v1/models`)
  t.equal(models.status, 503, 'clients health-check by this call')
  t.equal((await fetch(`${gate.url}/readyz`)).status, 503)
  t.equal((await fetch(`${gate.url}/livez`)).status, 200)
  t.equal((await fetch(`${gate.url}/health`)).status, 503)
})

t.test("every error on /v1/messages has Anthropic's shape, wherever it arises", async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  const env = { GENGATE_HOLD_MS: '100', GENGATE_API_KEYS: 'key' }
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: `a=${a.url}`,
    GENGATE_A_ENGINE: 'vllm',
    ...env,
  })
  await gate.untilReason('a', 'ok')
  const key = { 'x-api-key': 'key' }
  const json = { ...key, 'content-type': 'application/json' }
  const ask = (init: RequestInit, path = '/v1/messages'): Promise<Response> =>
    fetch(`${gate.url}${path}`, { method: 'POST', headers: json, body: '{}', ...init })
  const tells = async (answer: Response, status: number, type: string): Promise<void> => {
    const body = (await answer.json()) as { error: { code: string } }
    t.equal(answer.status, status, body.error.code)
    t.match(body, { type: 'error', error: { type, message: /./, code: /^[a-z_]+$/ } })
    t.match(body, { request_id: answer.headers.get('x-request-id') })
  }
  await tells(await ask({ headers: { 'content-type': 'a/b' } }), 401, 'authentication_error')
  await tells(await ask({ headers: { ...json, origin: 'https://x.y' } }), 403, 'permission_error')
  await tells(await ask({ headers: key }), 415, 'invalid_request_error')
  await tells(await ask({ method: 'PUT' }), 405, 'invalid_request_error')
  await tells(await ask({ body: '{' }), 400, 'invalid_request_error')
  await tells(await ask({ body: '{' }, '/v1/messages/count_tokens'), 400, 'invalid_request_error')
  await tells(await ask({ body: '{"model":"nobody"}' }), 404, 'not_found_error')
  await a.refuse()
  await gate.untilReason('a', 'refused')
  await tells(await ask({ body: '{"model":"m"}' }), 503, 'overloaded_error')
})

t.test('a request that is held is served when an upstream comes back', async (t) => {
  const a = await fakeUpstream(t)
  await a.refuse()
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}`, GENGATE_HOLD_MS: '10000' })
  await gate.untilReason('a', 'refused')
  const asked = post(url(gate), chatBody())
  await a.listen()
  const answer = await asked
  t.equal(answer.status, 200)
  t.ok(gate.lines.length > 0)
})

t.test('requests at the very start wait for the first verdict', async (t) => {
  const a = await fakeUpstream(t, { ttftMs: 300 })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}`, GENGATE_HOLD_MS: '10' })
  const answer = await post(url(gate), chatBody())
  t.equal(answer.status, 200)
})

t.test('two wedged upstreams are refused with both reasons, not hung on', async (t) => {
  const { a, b, gate } = await gateOverTwo(
    t,
    {},
    { GENGATE_DETECT_WITHIN_MS: '1000', GENGATE_PROBE_INTERVAL_MS: '500', GENGATE_HOLD_MS: '200' },
  )
  a.freeze()
  b.freeze()
  const hanging = post(url(gate), chatBody({ stream: true }))
  await gate.untilReason('a', 'wedged')
  await gate.untilReason('b', 'wedged')
  t.ok([503, 504].includes((await hanging).status), 'the request in flight is told')
  const answer = await post(url(gate), chatBody())
  t.equal(answer.status, 503)
  const { error } = (await answer.json()) as { error: { message: string } }
  t.match(error.message, /a: wedged.*b: wedged/)
})

t.test('an unknown model is a 404 that lists the known ones', async (t) => {
  const { gate } = await gateOverOne(t, { models: ['x', 'y'] }, { GENGATE_A_ENGINE: 'vllm' })
  const answer = await post(url(gate), chatBody({ model: 'nope' }))
  t.equal(answer.status, 404)
  const { error } = (await answer.json()) as { error: Record<string, unknown> }
  t.match(error, { code: 'model_not_found', param: 'model', message: /x.*y/ })
  t.equal(answer.headers.get('x-should-retry'), 'false')
})

t.test('a cap lets one request through at a time and the next wait', async (t) => {
  const { a, gate } = await gateOverOne(
    t,
    { tokens: 5, gapMs: 40 },
    { GENGATE_A_MAX_CONCURRENCY: '1' },
  )
  let most = 0
  const watch = setInterval(() => (most = Math.max(most, a.running)), 5)
  const all = await Promise.all([1, 2, 3].map(() => post(url(gate), chatBody({ stream: true }))))
  for (const answer of all) t.ok((await readStream(answer)).done)
  clearInterval(watch)
  t.equal(most, 1)
})
