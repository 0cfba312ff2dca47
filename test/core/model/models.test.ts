import { readFileSync } from 'node:fs'
import t from 'tap'
import { changesBetween } from '../../../src/core/changes.ts'
import { reasonsText } from '../../../src/core/explain.ts'
import { choiceOf, type ListedModel, plainModel } from '../../../src/core/model/model-choice.ts'
import { knownModels } from '../../../src/core/model/models.ts'
import { decide, isServable, type RouteDecision } from '../../../src/core/route.ts'
import { nextTable } from '../../../src/core/table.ts'
import type { EngineKind, UpstreamSpec } from '../../../src/core/upstream.ts'
import { quirksOf } from '../../../src/engines/index.ts'
import { listedModels } from '../../../src/engines/model-list.ts'
import { spec, tableConfig, World } from '../../support/world.ts'

// Rows of docs/faults.md that are shown here: embedding-model-listed-once.

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../fixtures/cases/${name}.json`, import.meta.url), 'utf8'))
const OLLAMA = quirksOf('ollama').details[0]?.read(fixture('ollama-tags')) ?? []
const IN_MEMORY = quirksOf('ollama').loadedQuery?.read(fixture('ollama-ps')) ?? null
const VLLM = listedModels(fixture('vllm-models')) ?? []
const SWAP = listedModels(fixture('llamaswap-models')) ?? []
const RUNNING = quirksOf('llamaswap').loadedQuery?.read(fixture('llamaswap-running')) ?? null

const idle = (): number => 0
const model = (id: string, over: Partial<ListedModel> = {}) => ({ ...plainModel(id), ...over })

/** One upstream `a` of this kind that told this, and was seen to generate. */
function worldOf(
  engine: EngineKind,
  told: {
    readonly models?: readonly ListedModel[]
    readonly loaded?: readonly string[] | null
    readonly spec?: Partial<UpstreamSpec>
  },
): World {
  const world = new World(tableConfig({ specs: [spec({ engine, ...told.spec })] }))
  if (told.models !== undefined) world.tell('a', { type: 'models', at: 0, models: told.models })
  if (told.loaded !== undefined) world.tell('a', { type: 'loaded', at: 0, names: told.loaded })
  return world.pass('a')
}

const proves = (world: World, name: string, at = world.now): World =>
  world.tell('a', { type: 'finished', at, streamed: true, tookMs: 5, model: name })
const ask = (name: string | null, over: object = {}) => ({ model: name, tried: [], ...over })
const of = (over: Partial<UpstreamSpec>, models = SWAP) => worldOf('openai', { models, spec: over })
const choice = (world: World) => {
  const { model: name, why, loads } = choiceOf(world.entry('a'))
  return `${name ?? '-'} ${why ?? 'none'}${loads ? ' loads' : ''}`
}
const to = (world: World, name: string | null, over: object = {}): string => {
  const went: RouteDecision = decide(world.table, ask(name, over), idle)
  return went.kind === 'forward' ? `${went.model ?? '='} ${went.serves}` : went.kind
}

t.test('a nameless request to an Ollama means the chat model that is in memory', async (t) => {
  const world = worldOf('ollama', { models: OLLAMA, loaded: IN_MEMORY })
  t.equal(choice(world), 'llama3.2:latest in_memory')
  for (const name of [null, '', 'default']) t.equal(to(world, name), 'llama3.2:latest first')
  t.ok(knownModels(world.table, () => true).includes('default'))
})

t.test('of several models in memory the one that generated last is meant', async (t) => {
  const models = [model('x'), model('y'), model('z')]
  const world = worldOf('ollama', { models, loaded: ['x', 'y'] })
  t.equal(choice(world), 'x in_memory')
  t.equal(choice(proves(world, 'y')), 'y in_memory')
  t.equal(choice(proves(world, 'z', -1)), 'y in_memory', 'z is not in memory any more')
})

t.test(
  'a model that was swapped in since the engine told is meant, and not swapped out',
  async (t) => {
    const world = worldOf('llamaswap', { models: SWAP, loaded: RUNNING }).at(10)
    t.equal(choice(world), 'm2 in_memory')
    t.equal(choice(proves(world, 'm1', 10)), 'm1 in_memory')
  },
)

t.test(
  'with nothing in memory the one that generated last is meant, else the smallest',
  async (t) => {
    const cold = worldOf('ollama', { models: OLLAMA, loaded: [] })
    t.equal(choice(cold), 'llama3.2:latest smallest loads', 'no embedding model, none elsewhere')
    t.equal(to(cold, null), 'llama3.2:latest on_demand')
    proves(cold, 'qwen3:8b', -1)
    t.equal(choice(cold), 'qwen3:8b proven loads')
    const unsized = worldOf('lmstudio', { models: [model('b'), model('a')], loaded: [] })
    t.equal(choice(unsized), 'b first loads')
  },
)

t.test('which model generated last outlives a reload', async (t) => {
  const world = proves(worldOf('ollama', { models: OLLAMA, loaded: [] }), 'qwen3:8b', -1)
  const specs = [spec({ engine: 'ollama', probe: 'passive' })]
  world.table = nextTable(world.table, {
    type: 'configured',
    at: 1,
    config: tableConfig({ specs }),
  })
  world.tell('a', { type: 'models', at: 1, models: OLLAMA })
  t.match(choice(world), 'qwen3:8b proven')
  const moved = [spec({ engine: 'ollama', url: 'http://127.0.0.1:99' })]
  const config = tableConfig({ specs: moved })
  world.table = nextTable(world.table, { type: 'configured', at: 2, config })
  t.strictSame(world.entry('a').facts.proven, [], 'another server')
})

t.test('the configured model, an only one and that of the engine come first', async (t) => {
  const configured = { models: OLLAMA, loaded: IN_MEMORY, spec: { model: 'qwen3:8b' } }
  t.equal(choice(worldOf('ollama', configured)), 'qwen3:8b configured loads')
  const chat = OLLAMA.filter(({ id }) => id !== 'qwen3:8b')
  t.equal(choice(worldOf('ollama', { models: chat, loaded: [] })), 'llama3.2:latest only loads')
  t.equal(choice(worldOf('vllm', { models: VLLM })), 'qwen engine')
  t.equal(to(worldOf('vllm', { models: VLLM }), null), 'qwen first')
  t.equal(to(worldOf('vllm', { models: VLLM }), 'sql-lora'), '= first', 'a name of its own')
  t.equal(choice(worldOf('vllm', {})), '- engine', 'before it has told its models')
  t.equal(choice(worldOf('llamacpp', { models: [model('m')] })), 'm only')
})

t.test('a nameless request to mlx-lm means what it was started with', async (t) => {
  const world = worldOf('mlx', { models: [model('cached'), model('other')] })
  t.equal(choice(world), '- engine')
  t.equal(to(world, null), '= first', 'the body stays without a name')
  t.equal(to(world, 'default'), 'default_model first', 'its own word for that model')
  t.equal(to(world, 'other'), '= first')
})

t.test('a request without a name where no model could be meant is told to name one', async (t) => {
  const embeds = OLLAMA.filter(({ work, local }) => work === 'embedding' || !local)
  const world = worldOf('ollama', { models: embeds, loaded: [] })
  for (const name of [null, '', 'default']) t.equal(to(world, name), 'model_required')
  t.strictSame(decide(world.table, ask(null), idle), {
    kind: 'model_required',
    known: ['nomic-embed-text:latest', 'gpt-oss:120b-cloud'],
  })
  t.equal(to(world, 'gpt-oss:120b-cloud'), '= on_demand', 'by name it may be asked for')
  t.equal(to(world, null, { work: 'embedding' }), 'nomic-embed-text:latest on_demand')
  for (const name of [null, '', 'default']) {
    t.equal(to(world, name, { exact: true }), '= first', 'an upload has no place for a name')
  }
})

t.test('under COLD=never only what is in memory is meant, and served', async (t) => {
  const never = { cold: 'never' } as const
  const none = worldOf('ollama', { models: OLLAMA, loaded: [], spec: never })
  t.equal(choice(none), '- none')
  t.equal(to(none, null), 'model_required')
  const some = worldOf('ollama', { models: OLLAMA, loaded: IN_MEMORY, spec: never })
  t.equal(to(some, null), 'llama3.2:latest first')
  t.equal(to(some, 'qwen3:8b'), 'hold')
  t.equal(
    reasonsText(some.table, 0, ask('qwen3:8b')),
    'a: qwen3:8b is not in memory, and GENGATE_A_COLD is never',
    'and not that it is ok',
  )
})

t.test('an upstream that swaps serves what is in memory first, the rest on demand', async (t) => {
  const world = worldOf('llamaswap', { models: SWAP, loaded: RUNNING })
  t.equal(choice(world), 'm2 in_memory')
  t.equal(to(world, null), 'm2 first')
  t.equal(to(world, 'm2'), '= first')
  t.equal(to(world, 'm1'), '= on_demand')
  t.equal(to(world, 'nope'), 'unknown_model')
  t.equal(to(proves(world, 'm1', 5), 'm1'), '= first', 'it has generated since')
  world.tell('a', { type: 'loaded', at: 9, names: ['m2'] })
  t.equal(to(world, 'm1'), '= on_demand', 'and is not in memory any more')
})

t.test('another upstream that has the model in memory comes before a load', async (t) => {
  const specs = [
    spec({ engine: 'ollama' }),
    spec({ name: 'b', engine: 'ollama', url: 'http://127.0.0.1:2' }),
  ]
  const world = new World(tableConfig({ specs })).pass('a').pass('b')
  for (const name of ['a', 'b']) world.tell(name, { type: 'models', at: 0, models: OLLAMA })
  world.tell('a', { type: 'loaded', at: 0, names: ['llama3.2:latest'] })
  world.tell('b', { type: 'loaded', at: 0, names: ['qwen3:8b'] })
  const at = (name: string) => decide(world.table, ask(name), idle)
  t.match(at('llama3.2'), { entry: { spec: { name: 'a' } }, serves: 'first' })
  t.match(at('qwen3:8b'), { entry: { spec: { name: 'b' } }, serves: 'first' })
})

t.test('a plain upstream that lists several serves them by name', async (t) => {
  const world = new World(tableConfig({ specs: [spec({ engine: 'openai' })] }))
  const cold = (at: number) =>
    world.at(at).tell('a', { type: 'probe_ended', at, outcome: { kind: 'cold' } })
  world.tell('a', { type: 'models', at: 0, models: SWAP })
  cold(0)
  t.equal(world.reason('a'), 'model_not_loaded')
  t.match(
    reasonsText(world.table, 0),
    'Several models are listed; name one, or set GENGATE_A_MODEL.',
  )
  t.ok(isServable(world.table))
  t.equal(to(world, 'm1'), '= on_demand')
  t.equal(to(world, null), 'm1 on_demand', 'the first, where nothing says more')
  proves(world.active(), 'm1')
  t.equal(to(world, 'm1'), '= first', 'what has generated is in memory')
  t.equal(to(world, 'm2'), '= on_demand')
  cold(1_000)
  t.equal(to(world, 'm1'), '= first', 'for as long as a proof holds')
  t.equal(world.reason('a'), 'ok_by_traffic')
  cold(7_000)
  t.equal(to(world, 'm1'), '= on_demand')
  t.equal(world.reason('a'), 'model_not_loaded')
})

t.test('GENGATE_<NAME>_SWAPS says outright whether a plain upstream swaps', async (t) => {
  t.equal(to(of({ swaps: 'no' }), 'm3'), '= first')
  t.equal(to(of({ model: 'm1' }), 'm3'), '= first', 'auto: a model is chosen')
  t.equal(to(of({ model: 'm1', swaps: 'yes' }), 'm3'), '= on_demand')
  t.equal(to(of({ swaps: 'yes' }, [model('m')]), null), 'm on_demand')
  t.equal(to(of({}, [model('m')]), null), 'm first', 'auto: it lists one')
})

t.test('a gate behind a gate takes its own default', async (t) => {
  const fields = { owned_by: 'gengate' }
  const models = [model('m1'), model('m2', { fields }), model('default', { fields })]
  const world = worldOf('openai', { models })
  t.equal(choice(world), 'default engine')
  t.equal(to(world, null), 'default first')
  t.equal(to(world, 'm1'), '= first', 'it decides itself what is loaded')
})

t.test('requests that wait look again when something else is in memory', async (t) => {
  const world = worldOf('ollama', { models: OLLAMA, loaded: [] })
  const { generation } = world.table
  world.tell('a', { type: 'loaded', at: 1, names: [] })
  t.equal(world.table.generation, generation)
  world.tell('a', { type: 'loaded', at: 2, names: ['qwen3:8b'] })
  t.equal(world.table.generation, generation + 1)
})

t.test('an Ollama without any model is not ready', async (t) => {
  const world = worldOf('ollama', { models: [], loaded: [] })
  world.sent('a').tell('a', { type: 'probe_ended', at: 0, outcome: { kind: 'cold' } })
  t.notOk(isServable(world.table))
  t.match(reasonsText(world.table, 0), 'It lists no model. Load one')
  t.equal(to(world, null), 'model_required')
})

t.test(
  'which model a nameless request would load is told once, when it becomes known',
  async (t) => {
    const world = new World(tableConfig({ specs: [spec({ engine: 'ollama' })] }))
    const news = (tell: () => unknown): string[] => {
      const before = world.table
      tell()
      return changesBetween(before, world.table, 0).flatMap((event) =>
        event.type === 'model_meant' ? [event.sentence] : [],
      )
    }
    world.tell('a', { type: 'loaded', at: 0, names: [] })
    const text =
      'A request without a model means llama3.2:latest: it is the smallest, and such a request loads it.'
    t.strictSame(
      news(() => world.tell('a', { type: 'models', at: 0, models: OLLAMA })),
      [text],
    )
    t.strictSame(
      news(() => world.pass('a')),
      [],
    )
    t.strictSame(
      news(() => world.tell('a', { type: 'loaded', at: 1, names: ['qwen3:8b'] })),
      [],
    )
    t.strictSame(
      news(() => world.tell('a', { type: 'loaded', at: 2, names: [] })),
      [text],
    )
  },
)

t.test('the name of an embedding model goes only where it is listed', async (t) => {
  const specs = [spec({ engine: 'ollama' }), spec({ name: 'b', engine: 'llamacpp' })]
  const world = new World(tableConfig({ specs }))
    .tell('a', { type: 'models', at: 0, models: OLLAMA })
    .tell('a', { type: 'loaded', at: 0, names: ['llama3.2:latest'] })
    .tell('b', { type: 'models', at: 0, models: [model('gemma')] })
    .pass('a')
    .pass('b')
  const went = decide(world.table, ask('nomic-embed-text', { work: 'embedding' }), idle)
  t.match(went, { kind: 'forward', entry: { spec: { name: 'a' } }, serves: 'on_demand' })
  const left = { work: 'embedding', tried: ['a'] } as const
  t.equal(
    to(world, 'nomic-embed-text', left),
    'exhausted',
    'vectors of another model do not compare',
  )
})
