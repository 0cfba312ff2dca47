import t from 'tap'
import { Bench } from './bench.ts'
import { fail, loaded, models, PASS } from './fake-wire.ts'

// Rows of docs/faults.md that are shown here: F53, F55, engine-sleeps.

t.test('runRound(): an Ollama without a loaded model is cold', async (t) => {
  const it = new Bench('ollama')
  it.wire.answer = (path) => (path === '/api/ps' ? loaded() : models('gemma:latest'))
  t.strictSame(await it.round(), { kind: 'cold' })
  t.equal(it.wire.probes.length, 0)
  t.equal(it.sent, 0)
  t.strictSame(it.told, [['gemma:latest']], 'its models are known all the same')
})

t.test('runRound(): an Ollama is asked for what is loaded', async (t) => {
  const it = new Bench('ollama')
  it.wire.answer = (path) => (path === '/api/ps' ? loaded('b:latest', 'a') : models('a', 'b', 'c'))
  t.equal((await it.round()).kind, 'pass')
  t.strictSame(it.asked, ['b:latest'])
})

t.test('runRound(): the configured model counts as loaded with and without :latest', async (t) => {
  const it = new Bench('ollama', 'gemma')
  it.wire.answer = () => loaded('other', 'gemma:latest')
  t.equal((await it.round()).kind, 'pass')
  t.strictSame(it.asked, ['gemma'])
  it.wire.answer = () => loaded('other')
  t.equal((await it.round()).kind, 'cold')
  t.equal(it.wire.probes.length, 1)
})

t.test('runRound(): a cloud model is never probed, even if /api/ps is silent', async (t) => {
  const it = new Bench('ollama', 'kimi:cloud')
  it.wire.answer = () => loaded('kimi:cloud', 'gemma')
  t.equal((await it.round()).kind, 'cold')
  it.wire.answer = () => 'hang'
  t.equal((await it.round()).kind, 'cold')
  t.equal(it.wire.probes.length, 0)
})

t.test('runRound(): a silent /api/ps cannot hide a wedge', async (t) => {
  const it = new Bench('ollama')
  it.wire.answer = () => loaded('gemma:latest')
  await it.round()
  it.wire.answer = () => 'hang'
  it.wire.play = () => 'hang'
  t.strictSame(await it.round(), { kind: 'timeout', limitMs: 30_000 })
  t.strictSame(it.asked, ['gemma:latest', 'gemma:latest'], 'the name that was loaded before')
  t.equal(it.sent, 2)
})

t.test('runRound(): a silent /api/ps of a server that lives is held against nobody', async (t) => {
  const it = new Bench('ollama')
  it.wire.answer = () => 'hang'
  it.wire.play = () => ({ afterMs: 1, outcome: fail('bad_request') })
  t.strictSame(await it.round(), { kind: 'inconclusive', detail: 'loaded_unknown' })
  t.strictSame(it.asked, [null, null], 'without a name: that loads nothing')
})

t.test('runRound(): the question what is loaded decides when nobody listens', async (t) => {
  const it = new Bench('ollama')
  it.wire.answer = () => ({ kind: 'broken', code: 'ECONNREFUSED', phase: 'connect' })
  t.match(await it.round(), { kind: 'fail', reason: 'refused' })
  t.strictSame(it.paths, ['/api/ps'], 'one connection is enough')
  t.equal(it.wire.probes.length, 0)
})

t.test('runRound(): llama.cpp with one model is asked once what it has loaded', async (t) => {
  const it = new Bench('llamacpp')
  for (let round = 0; round < 3; round++) t.equal((await it.round(100)).kind, 'pass')
  const lists = it.paths.filter((path) => path === '/v1/models')
  t.equal(lists.length, 2, 'one question, one list')
})

t.test('runRound(): a llama.cpp router is probed on a loaded model only', async (t) => {
  const it = new Bench('llamacpp')
  const data = [
    { id: 'x', status: { value: 'unloaded' } },
    { id: 'y', status: { value: 'loaded' } },
  ]
  it.wire.answer = () => ({ kind: 'answer', status: 200, body: { data } })
  t.equal((await it.round()).kind, 'pass')
  t.strictSame(it.asked, ['y'])
  it.wire.answer = () => ({ kind: 'answer', status: 200, body: { data: data.slice(0, 1) } })
  t.equal((await it.round()).kind, 'cold')
})

t.test('runRound(): a llama.cpp that says it is loading is not asked to generate', async (t) => {
  const it = new Bench('llamacpp')
  const body = { error: { message: 'Loading model', type: 'unavailable_error', code: 503 } }
  it.wire.answer = () => ({ kind: 'answer', status: 503, body })
  const said = 'Loading model'
  t.strictSame(await it.round(), { kind: 'fail', reason: 'loading', detail: 'http_503', said })
  t.equal(it.wire.probes.length, 0)
})

t.test('runRound(): the name comes first where the engine needs one', async (t) => {
  const it = new Bench('vllm_metal')
  it.wire.answer = () => models('local')
  t.equal((await it.round()).kind, 'pass')
  t.strictSame(it.asked, ['local'])
})

t.test('runRound(): a hanging list delays a generation by its limit at most', async (t) => {
  const it = new Bench('vllm_metal')
  it.wire.answer = () => 'hang'
  t.equal((await it.round(1_020)).kind, 'pass')
  const free = new Bench('vllm')
  free.wire.answer = () => 'hang'
  t.equal((await free.round(20)).kind, 'pass', 'not at all where the name is optional')
  await free.clock.advance(1_000)
})

t.test('runRound(): the list is asked for again after a minute', async (t) => {
  const it = new Bench('vllm')
  await it.round(1_000)
  await it.round(58_000)
  t.equal(it.paths.length, 1)
  await it.round(1_000)
  await it.round(1_000)
  t.equal(it.paths.length, 2)
})

t.test('runRound(): nothing is chosen from many that may not be loaded', async (t) => {
  const it = new Bench('openai')
  it.wire.answer = () => models('a', 'b')
  t.strictSame(await it.round(), { kind: 'cold' })
  t.equal(it.wire.probes.length, 0)
})

t.test('runRound(): garbage as a model list does no harm', async (t) => {
  for (const body of [undefined, null, '', [], { data: null }, { data: 7 }]) {
    const it = new Bench('openai')
    it.wire.answer = () => ({ kind: 'answer', status: 200, body })
    t.equal((await it.round()).kind, 'pass', JSON.stringify(body))
    t.strictSame(it.asked, [null])
  }
})

t.test('runRound() tries the next kind after a refusal, and keeps what passed', async (t) => {
  const it = new Bench('vllm')
  it.wire.play = ({ kind }) =>
    kind === 'embeddings'
      ? { afterMs: 5, outcome: PASS }
      : { afterMs: 5, outcome: fail(kind === 'chat' ? 'bad_request' : 'wrong_kind') }
  t.equal((await it.round()).kind, 'pass')
  t.strictSame(it.kinds, ['chat', 'completions', 'embeddings'])
  t.equal(it.sent, 1, 'one probe was sent, as far as the table knows')
  await it.round()
  t.strictSame(it.kinds.slice(3), ['embeddings'])
  it.wire.play = () => ({ afterMs: 5, outcome: fail('wrong_kind') })
  t.match(await it.round(), { reason: 'wrong_kind' })
  t.strictSame(it.kinds.slice(4), ['embeddings', 'chat', 'completions'])
})

t.test('runRound() asks no chat model to embed, nor an embedding one to chat', async (t) => {
  const data = [{ id: 'chat' }, { id: 'text-embedding-x' }]
  for (const [model, kinds] of [
    ['chat', ['chat', 'completions']],
    ['text-embedding-x', ['embeddings']],
  ] as const) {
    const it = new Bench('lmstudio', model)
    it.wire.answer = (path) => {
      if (path === '/v1/models') return { kind: 'answer', status: 200, body: { data } }
      const own = data.map(({ id }) => ({
        id,
        key: id,
        type: id === 'chat' ? 'llm' : 'embeddings',
      }))
      const loaded = own.map((one) => ({
        ...one,
        state: 'loaded',
        loaded_instances: [{ id: one.id }],
      }))
      return { kind: 'answer', status: 200, body: { data: loaded, models: loaded } }
    }
    it.wire.play = () => ({ afterMs: 5, outcome: fail('bad_request') })
    await it.round()
    it.wire.probes.length = 0
    await it.round()
    t.strictSame(it.kinds, kinds)
  }
})

t.test('runRound() asks what only embedded to chat again after it failed', async (t) => {
  const it = new Bench('vllm')
  const refused = fail('refused')
  it.wire.play = ({ kind }) => ({
    afterMs: 5,
    outcome: kind === 'embeddings' ? { kind: 'embeds', latencyMs: 5 } : fail('wrong_kind'),
  })
  t.equal((await it.round()).kind, 'embeds')
  it.wire.play = () => ({ afterMs: 5, outcome: refused })
  await it.round()
  it.wire.probes.length = 0
  it.wire.play = () => ({ afterMs: 5, outcome: PASS })
  t.equal((await it.round()).kind, 'pass')
  t.strictSame(it.kinds, ['chat'])
})

t.test('runRound(): the refusal of an existing route says more than a missing one', async (t) => {
  const it = new Bench('vllm')
  it.wire.play = (call) => ({
    afterMs: 5,
    outcome: fail(call.kind === 'completions' ? 'bad_request' : 'wrong_kind'),
  })
  t.match(await it.round(), { reason: 'bad_request' })
})

t.test('runRound(): other failures end the round', async (t) => {
  for (const reason of ['http_5xx', 'unauthorized', 'refused', 'truncated', 'loading'] as const) {
    const it = new Bench('vllm')
    it.wire.play = () => ({ afterMs: 5, outcome: fail(reason) })
    t.match(await it.round(), { reason })
    t.strictSame(it.kinds, ['chat'])
  }
})

t.test('runRound(): a server that has another model now is asked for it', async (t) => {
  const it = new Bench('vllm')
  it.wire.answer = () => models('old')
  await it.round(100)
  it.wire.answer = () => models('new')
  it.wire.play = (call) => ({
    afterMs: 5,
    outcome: call.model === 'new' ? PASS : fail('model_not_found'),
  })
  t.equal((await it.round(100)).kind, 'pass')
  t.strictSame(it.asked, [null, 'old', 'new'])
  t.strictSame(it.told, [['old'], ['new']])
})

t.test('runRound(): a vLLM that sleeps is asked so, and not to generate again', async (t) => {
  const it = new Bench('vllm', 'm')
  let asleep = true
  it.wire.answer = (path) =>
    path === '/is_sleeping'
      ? { kind: 'answer', status: 200, body: { is_sleeping: asleep } }
      : models('m')
  it.wire.play = () => 'hang'
  t.match(await it.round(2_000), { kind: 'fail', reason: 'sleeping' })
  t.equal(it.wire.inFlight, 0, 'nothing is left in its queue')
  t.match(await it.round(2_000), { kind: 'fail', reason: 'sleeping' })
  t.equal(it.wire.probes.length, 1)
  asleep = false
  it.wire.play = () => ({ afterMs: 20, outcome: PASS })
  t.equal((await it.round()).kind, 'pass')
  t.equal(it.wire.gets.filter(({ path }) => path === '/is_sleeping').length, 3)
})

t.test('runRound(): a vLLM that cannot tell whether it sleeps is wedged as ever', async (t) => {
  const it = new Bench('vllm', 'm')
  it.wire.answer = (path) =>
    path === '/is_sleeping' ? { kind: 'answer', status: 404, body: '' } : models('m')
  it.wire.play = () => 'hang'
  t.equal((await it.round()).kind, 'timeout')
})

t.test('runRound(): an embedding model never stands for a chat model', async (t) => {
  const it = new Bench('ollama')
  it.wire.answer = (path) =>
    path === '/api/ps' ? loaded('nomic-embed-text', 'chat') : models('nomic-embed-text', 'chat')
  t.equal((await it.round()).kind, 'pass')
  t.strictSame(it.asked, ['chat'], 'what routing would ask for')
  t.strictSame(it.loaded, [['nomic-embed-text', 'chat']], 'and the table learns what is in memory')
})

t.test('runRound(): a lost server of several models is noticed by its list', async (t) => {
  const it = new Bench('openai')
  it.wire.answer = () => models('a', 'b')
  t.strictSame(await it.round(), { kind: 'cold' })
  it.wire.answer = () => ({ kind: 'broken', code: 'ECONNREFUSED', phase: 'connect' })
  t.match(await it.round(), { kind: 'fail', reason: 'refused' })
  t.equal(it.wire.probes.length, 0)
})

t.test('runRound(): a silent list makes no embedding model stand for a chat model', async (t) => {
  const it = new Bench('ollama')
  it.wire.answer = (path) => (path === '/api/ps' ? loaded('nomic-embed-text', 'chat') : 'hang')
  t.equal((await it.round()).kind, 'pass')
  t.strictSame(it.asked, ['chat'])
})

t.test('runRound(): an engine that repeats our key is quoted without it', async (t) => {
  const it = new Bench('ollama')
  const body = { error: { message: `${'x'.repeat(195)} ${it.apiKey} is wrong` } }
  it.wire.answer = () => ({ kind: 'answer', status: 401, body })
  const outcome = await it.round()
  t.match(outcome, { kind: 'fail', reason: 'unauthorized' })
  t.notMatch(JSON.stringify(outcome), it.apiKey.slice(0, 3))
})
