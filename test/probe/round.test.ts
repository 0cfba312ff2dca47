import t from 'tap'
import type { EngineKind } from '../../src/core/upstream.ts'
import type { Fetched } from '../../src/probe/wire.ts'
import { Bench } from './bench.ts'
import { body, fail, type FakeWire, loaded, models, PASS, REFUSED } from './fake-wire.ts'

// Rows of docs/faults.md that are shown here: F53, F55, engine-sleeps.

type Answer = Fetched | 'hang'
/** An Ollama with these in memory; `listed` is its answer to everything else. */
const ollama =
  (ps: Answer, listed: Answer = ps): FakeWire['answer'] =>
  (path) =>
    path === '/api/ps' ? ps : listed

/** What comes of one round about a server that answers so, and the models that were asked. */
async function round(engine: EngineKind, answer: FakeWire['answer'], model: string | null = null) {
  const it = new Bench(engine, model)
  it.wire.answer = answer
  return [(await it.round()).kind, ...it.asked]
}

t.test('runRound(): an Ollama is asked for what is in memory, else it is cold', async (t) => {
  const ofThree = ollama(loaded('b:latest', 'a'), models('a', 'b', 'c'))
  t.same(await round('ollama', ofThree), ['pass', 'b:latest'])
  const latest = ollama(loaded('other', 'gemma:latest'))
  t.same(await round('ollama', latest, 'gemma'), ['pass', 'gemma'], 'with :latest and without')
  t.same(await round('ollama', ollama(loaded('other')), 'gemma'), ['cold'])
  const it = new Bench('ollama')
  it.wire.answer = ollama(loaded(), models('gemma:latest'))
  t.strictSame(await it.round(), { kind: 'cold' })
  t.equal(it.wire.probes.length + it.sent, 0, 'nothing is generated')
  t.strictSame(it.told, [['gemma:latest']], 'its models are known all the same')
})

t.test('runRound(): a cloud model is never probed, even if /api/ps is silent', async (t) => {
  const local = ollama(loaded('kimi:cloud', 'gemma'))
  t.same(await round('ollama', local, 'kimi:cloud'), ['cold'])
  t.same(await round('ollama', () => 'hang', 'kimi:cloud'), ['cold'])
})

t.test('runRound(): an embedding model never stands for a chat model', async (t) => {
  const both = ['nomic-embed-text', 'chat']
  t.same(await round('ollama', ollama(loaded(...both), 'hang')), ['pass', 'chat'], 'a silent list')
  const it = new Bench('ollama')
  it.wire.answer = ollama(loaded(...both), models(...both))
  t.equal((await it.round()).kind, 'pass')
  t.strictSame(it.asked, ['chat'], 'what routing would ask for')
  t.strictSame(it.loaded, [both], 'and the table learns what is in memory')
})

t.test('runRound(): a router is probed on a loaded model only', async (t) => {
  const [x, y] = [{ id: 'x' }, { id: 'y', status: { value: 'loaded' } }]
  const unloaded = { ...x, status: { value: 'unloaded' } }
  t.same(await round('llamacpp', () => body({ data: [unloaded, y] })), ['pass', 'y'])
  t.same(await round('llamacpp', () => body({ data: [unloaded] })), ['cold'])
})

t.test('runRound(): a name comes first where one is needed, and is not guessed', async (t) => {
  t.same(await round('vllm_metal', () => models('local')), ['pass', 'local'])
  t.same(await round('openai', () => models('a', 'b')), ['cold'], 'many may not be loaded')
  for (const garbage of [undefined, null, '', [], { data: null }, { data: 7 }]) {
    t.same(await round('openai', () => body(garbage)), ['pass', null], JSON.stringify(garbage))
  }
})

t.test('runRound(): a llama.cpp that says it is loading is not asked to generate', async (t) => {
  const it = new Bench('llamacpp')
  const said = 'Loading model'
  const error = { message: said, type: 'unavailable_error', code: 503 }
  it.wire.answer = () => body({ error }, 503)
  t.strictSame(await it.round(), { kind: 'fail', reason: 'loading', detail: 'http_503', said })
  t.equal(it.wire.probes.length, 0)
})

t.test('runRound(): a silent /api/ps of a server that lives is held against nobody', async (t) => {
  const it = new Bench('ollama')
  it.wire.answer = () => 'hang'
  it.wire.plays(fail('bad_request'), 1)
  t.strictSame(await it.round(), { kind: 'inconclusive', detail: 'loaded_unknown' })
  t.strictSame(it.asked, [null, null], 'without a name: that loads nothing')
})

t.test('runRound(): the question what is loaded decides when nobody listens', async (t) => {
  const it = new Bench('ollama')
  it.wire.answer = () => REFUSED
  t.match(await it.round(), { kind: 'fail', reason: 'refused' })
  t.strictSame(it.paths, ['/api/ps'], 'one connection is enough')
  t.equal(it.wire.probes.length, 0)
})

t.test('runRound(): which refusal counts, and which ends the round', async (t) => {
  const it = new Bench('vllm')
  it.wire.play = ({ kind }) => ({
    afterMs: 5,
    outcome: fail(kind === 'completions' ? 'bad_request' : 'wrong_kind'),
  })
  t.match(await it.round(), { reason: 'bad_request' }, 'that of a route that exists')
  for (const reason of ['http_5xx', 'unauthorized', 'refused', 'truncated', 'loading'] as const) {
    const other = new Bench('vllm')
    other.wire.plays(fail(reason))
    t.match(await other.round(), { reason })
    t.strictSame(other.kinds, ['chat'])
  }
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

t.test('runRound(): llama.cpp with one model is asked once what it has loaded', async (t) => {
  const it = new Bench('llamacpp')
  for (let round = 0; round < 3; round++) t.equal((await it.round(100)).kind, 'pass')
  const lists = it.paths.filter((path) => path === '/v1/models')
  t.equal(lists.length, 2, 'one question, one list')
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
  it.wire.plays(fail('wrong_kind'))
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
      if (path === '/v1/models') return body({ data })
      const loaded = data.map(({ id }) => {
        const own = { id, key: id, state: 'loaded', loaded_instances: [{ id }] }
        return { ...own, type: id === 'chat' ? 'llm' : 'embeddings' }
      })
      return body({ data: loaded, models: loaded })
    }
    it.wire.plays(fail('bad_request'))
    await it.round()
    it.wire.probes.length = 0
    await it.round()
    t.strictSame(it.kinds, kinds)
  }
})

t.test('runRound() asks what only embedded to chat again after it failed', async (t) => {
  const it = new Bench('vllm')
  it.wire.play = ({ kind }) => ({
    afterMs: 5,
    outcome: kind === 'embeddings' ? { kind: 'embeds', latencyMs: 5 } : fail('wrong_kind'),
  })
  t.equal((await it.round()).kind, 'embeds')
  it.wire.plays(fail('refused'))
  await it.round()
  it.wire.probes.length = 0
  it.wire.plays(PASS)
  t.equal((await it.round()).kind, 'pass')
  t.strictSame(it.kinds, ['chat'])
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
  it.wire.answer = (path) => (path === '/is_sleeping' ? body({ is_sleeping: asleep }) : models('m'))
  it.wire.play = () => 'hang'
  t.match(await it.round(2_000), { kind: 'fail', reason: 'sleeping' })
  t.equal(it.wire.inFlight, 0, 'nothing is left in its queue')
  t.match(await it.round(2_000), { kind: 'fail', reason: 'sleeping' })
  t.equal(it.wire.probes.length, 1)
  asleep = false
  it.wire.plays(PASS)
  t.equal((await it.round()).kind, 'pass')
  t.equal(it.wire.gets.filter(({ path }) => path === '/is_sleeping').length, 3)
})

t.test('runRound(): a vLLM that cannot tell whether it sleeps is wedged as ever', async (t) => {
  const it = new Bench('vllm', 'm')
  it.wire.answer = (path) => (path === '/is_sleeping' ? body('', 404) : models('m'))
  it.wire.play = () => 'hang'
  t.equal((await it.round()).kind, 'timeout')
})

t.test('runRound(): a lost server of several models is noticed by its list', async (t) => {
  const it = new Bench('openai')
  it.wire.answer = () => models('a', 'b')
  t.strictSame(await it.round(), { kind: 'cold' })
  it.wire.answer = () => REFUSED
  t.match(await it.round(), { kind: 'fail', reason: 'refused' })
  t.equal(it.wire.probes.length, 0)
})

t.test('runRound(): an engine that repeats our key is quoted without it', async (t) => {
  const it = new Bench('ollama')
  const message = `${'x'.repeat(195)} ${it.apiKey} is wrong`
  it.wire.answer = () => body({ error: { message } }, 401)
  const outcome = await it.round()
  t.match(outcome, { kind: 'fail', reason: 'unauthorized' })
  t.notMatch(JSON.stringify(outcome), it.apiKey.slice(0, 3))
})
