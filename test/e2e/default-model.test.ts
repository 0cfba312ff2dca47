import t from 'tap'
import { chatBody, post, readStream, servedBy } from '../support/ask.ts'
import { fakeLlamaSwap, fakeLocalAi, fakeOllama } from '../support/fake-engines.ts'
import { type FakeUpstream, fakeUpstream } from '../support/fake-upstream.ts'
import { startGate } from '../support/start-gate.ts'

// Rows of docs/bad-input.md that are shown here: no-model-named.
// Rows of docs/faults.md that are shown here: several-models, embedding-hides-no-wedge,
// swapped-model, memory-untold, upstream-taken-out.

// Goal: whatever an engine lists, a request reaches the model that it means.
// Method: engines as they list and load, and the requests of the README.

// Most of it is waiting.
t.jobs = 4

const QUICK = { GENGATE_DETECT_WITHIN_MS: '1200', GENGATE_PROBE_INTERVAL_MS: '250' }
/** The README's own curl. */
const NAMELESS = '{"messages":[{"role":"user","content":"hi"}],"stream":true}'
const OLLAMA = [
  { name: 'nomic-embed-text:latest', bytes: 274 },
  { name: 'llama3.2:latest', bytes: 2_019 },
  { name: 'qwen3:8b', bytes: 5_225 },
  { name: 'gpt-oss:120b-cloud', bytes: 1, cloud: true },
]
const asked = (fake: FakeUpstream): (string | undefined)[] =>
  fake.generations.map(({ body }) => (JSON.parse(body) as { model?: string }).model)

t.test("the README's own curl is answered by an Ollama with several models", async (t) => {
  const a = await fakeOllama(t, OLLAMA, { loaded: ['nomic-embed-text:latest', 'llama3.2:latest'] })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `ollama=${a.url}`, ...QUICK })
  await gate.untilReason('ollama', 'ok')
  t.ok(
    asked(a).every((model) => model === 'llama3.2:latest'),
    'the probe asks for the same one',
  )
  const chat = `${gate.url}/v1/chat/completions`
  const answer = await post(chat, NAMELESS)
  t.equal(answer.status, 200)
  t.ok((await readStream(answer)).done)
  t.equal(asked(a).at(-1), 'llama3.2:latest')
  const bare = await post(chat, chatBody({ model: 'llama3.2' }))
  t.match(await bare.json(), { model: 'llama3.2' }, 'as the client wrote it')
  t.equal(asked(a).at(-1), 'llama3.2:latest')
  t.equal(a.coldLoads, 0)
  const other = await post(chat, chatBody({ model: 'qwen3:8b' }))
  t.equal(other.status, 200, 'any listed name can be asked for')
  t.equal(a.coldLoads, 1)
  const list = (await (await fetch(`${gate.url}/v1/models`)).json()) as { data: { id: string }[] }
  t.strictSame(list.data.map(({ id }) => id).slice(0, 2), ['default', 'nomic-embed-text:latest'])
})

t.test('a chat model that hangs is not hidden by the embedding model beside it', async (t) => {
  const a = await fakeOllama(t, OLLAMA, { loaded: ['nomic-embed-text:latest', 'llama3.2:latest'] })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `ollama=${a.url}`, ...QUICK })
  await gate.untilReason('ollama', 'ok')
  a.freeze()
  const body = chatBody({ stream: true })
  const hung = post(`${gate.url}/v1/chat/completions`, body).catch(() => null)
  await gate.untilReason('ollama', 'wedged')
  a.thaw()
  await hung
})

t.test('a request without a model where none could be meant is 400 at once', async (t) => {
  const a = await fakeOllama(t, [OLLAMA[0] ?? '', OLLAMA[3] ?? ''])
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `ollama=${a.url}`, ...QUICK })
  await gate.until(() => gate.app.store.current.entries[0]?.facts.models?.length === 2)
  const answer = await post(`${gate.url}/v1/chat/completions`, NAMELESS)
  t.equal(answer.status, 400)
  t.equal(answer.headers.get('x-should-retry'), 'false')
  const { error } = (await answer.json()) as { error: { message: string } }
  t.match(error, { code: 'model_required', param: 'model' })
  t.match(error.message, /nomic-embed-text:latest.*GENGATE_OLLAMA_MODEL/)
  const listed = (await (await fetch(`${gate.url}/v1/models`)).json()) as { data: { id: string }[] }
  t.notOk(listed.data.some(({ id }) => id === 'default'))
})

t.test('a llama-swap serves what is ready, and loads the rest on demand', async (t) => {
  const a = await fakeLlamaSwap(t, ['m1', 'm2', 'm3'], { loaded: ['m2'], loadMs: 900 })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `llamaswap=${a.url}`, ...QUICK })
  await gate.untilReason('llamaswap', 'ok')
  const chat = `${gate.url}/v1/chat/completions`
  t.match(await (await post(chat, chatBody())).json(), { model: 'default' })
  t.equal(asked(a).at(-1), 'm2')
  t.equal(a.coldLoads, 0, 'no probe loads anything')
  const cold = await post(chat, chatBody({ model: 'm1', stream: true }))
  t.equal(cold.status, 200, 'the load is waited for')
  t.ok((await readStream(cold)).done)
  t.equal(a.coldLoads, 1, 'and nothing is loaded back meanwhile')
  t.equal(gate.lines.filter((line) => /wedged|silent/.test(line)).length, 0)
})

t.test('a plain server that lists several serves each by name', async (t) => {
  const a = await fakeLocalAi(t, ['m1', 'm2'])
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `local=${a.url}`, ...QUICK })
  await gate.untilReason('local', 'model_not_loaded')
  t.equal((await fetch(`${gate.url}/readyz`)).status, 200)
  t.match(
    await (await fetch(`${gate.url}/readyz?verbose`)).text(),
    'Several models are listed; name one, or set GENGATE_LOCAL_MODEL.',
  )
  t.equal(a.generations.length, 0, 'no probe is sent')
  const chat = `${gate.url}/v1/chat/completions`
  for (const model of ['m1', 'm2']) {
    t.match(await (await post(chat, chatBody({ model }))).json(), { model })
  }
  await gate.untilReason('local', 'ok_by_traffic', 'ok')
  t.strictSame(asked(a), ['m1', 'm2'])
  await a.refuse()
  await gate.untilReason('local', 'refused')
})

t.test('a gate behind a gate needs no model chosen', async (t) => {
  const engine = await fakeLlamaSwap(t, ['m1', 'm2'], { loaded: ['m2'] })
  const inner = await startGate(t, { GENGATE_UPSTREAMS: `llamaswap=${engine.url}`, ...QUICK })
  await inner.untilReason('llamaswap', 'ok')
  const outer = await startGate(t, { GENGATE_UPSTREAMS: `inner=${inner.url}`, ...QUICK })
  await outer.untilReason('inner', 'ok')
  const chat = `${outer.url}/v1/chat/completions`
  t.equal((await post(chat, NAMELESS)).status, 200)
  t.equal(asked(engine).at(-1), 'm2')
  t.match(await (await post(chat, chatBody({ model: 'm1' }))).json(), { model: 'm1' })
})

t.test('a request that waits at an upstream which is taken out moves on', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  const b = await fakeUpstream(t, { models: ['m'] })
  const quick = { GENGATE_COMMIT_DEADLINE_MS: '100', GENGATE_DETECT_WITHIN_MS: '1000' }
  const both = { GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`, ...quick }
  const gate = await startGate(t, both)
  await gate.untilReason('a', 'ok')
  await gate.untilReason('b', 'ok')
  a.options.tokens = 100
  a.options.gapMs = 30
  const runs = post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true }))
  const running = readStream(await runs)
  await gate.until(() => a.running > 0)
  a.options.ttftMs = 60_000
  const waits = await post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true }))
  t.equal(servedBy(waits), 'pending', 'with comments going out')
  gate.reload({ GENGATE_UPSTREAMS: `b=${b.url}`, GENGATE_DETECT_WITHIN_MS: '1000' })
  const end = await readStream(waits)
  t.ok(end.done)
  t.match(end.comments.join('\n'), 'upstream=b')
  t.ok((await running).done, 'what has begun goes on')
})

t.test('a request that waits at an upstream which is replaced waits for the new one', async (t) => {
  const [a, b] = [
    await fakeUpstream(t, { models: ['m'] }),
    await fakeUpstream(t, { models: ['m'] }),
  ]
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}` })
  await gate.untilReason('a', 'ok')
  a.freeze()
  b.options.ttftMs = 500
  const answer = post(`${gate.url}/v1/chat/completions`, chatBody({ model: 'm', user: 'waits' }))
  await gate.until(() => a.generations.some(({ body }) => body.includes('waits')))
  gate.reload({ GENGATE_UPSTREAMS: `b=${b.url}`, GENGATE_DETECT_WITHIN_MS: '1000' })
  t.match((await answer).headers.get('x-gengate-upstream'), 'b')
})
