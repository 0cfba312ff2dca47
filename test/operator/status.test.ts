import { plainModel } from '../../src/core/model/model-choice.ts'
import t from 'tap'
import { statusOf } from '../../src/operator/status.ts'
import { spec, tableConfig, World } from '../support/world.ts'

const WALL = 1_800_000_000_000

const context = (nowMs: number) => ({
  nowMs,
  wallMs: WALL + nowMs,
  startedAtMs: 0,
  inFlight: (name: string) => (name === 'a' ? 3 : 0),
  version: '1.2.3',
  instance: 'i-1',
  configState: { ok: false, error: 'GENGATE_PORT: no number', shadowed: ['GENGATE_HOST'] },
  draining: false,
})

t.test('statusOf() shows the frozen document', async (t) => {
  const world = new World(
    tableConfig({
      specs: [
        spec({ name: 'a', model: 'm1' }),
        spec({ name: 'b', engine: 'embedded', url: 'http://user:canary@127.0.0.1:10/x' }),
      ],
    }),
  )
  world.at(1_000).pass('a')
  const outcome = { kind: 'fail', reason: 'unauthorized', detail: 'http_401' } as const
  world.tell('b', { type: 'probe_ended', at: 1_500, outcome })
  const document = statusOf(world.table, context(2_500))
  t.match(document, {
    version: '1.2.3',
    instance: 'i-1',
    uptime_s: 2,
    draining: false,
    in_doubt: false,
    serving: { default: 'a', m1: 'a' },
    policy: 'priority',
    groups: null,
    config: { ok: false, error: 'GENGATE_PORT: no number', shadowed: ['GENGATE_HOST'] },
  })
  t.equal(document.generation, world.table.generation)
  const [a, b] = document.upstreams
  t.strictSame(a, {
    name: 'a',
    engine: 'vllm',
    url: 'http://127.0.0.1:9',
    intent: 'enabled',
    eligible: true,
    state: 'eligible',
    reason: 'ok',
    since: new Date(WALL + 1_000).toISOString(),
    hint: 'A probe generated a token.',
    said: null,
    last_generation_at: new Date(WALL + 1_000).toISOString(),
    works: { embedding: 'unproven', rerank: 'unproven' },
    last_done_at: { embedding: null, rerank: null },
    half_open: false,
    admitted_at: null,
    next_probe_at: new Date(WALL + 61_000).toISOString(),
    in_flight: 3,
    models: ['m1'],
    models_listed: false,
    model_details: [],
    loaded: null,
    loaded_at: null,
    proven_models: [],
    model: 'm1',
    default_model: { name: 'm1', why: 'configured', loads: false },
    swaps: 'auto',
    probe: 'active',
    cold: 'on_demand',
    loads_nothing: false,
    max_concurrency: null,
    derived: {
      probe_deadline_ms: 1_000,
      eject_after_ms: 8_000,
      interval_ms: 60_000,
      stream_end: 'finish_reason',
      probe_form: null,
      stream_end_seen: null,
    },
    embedded: false,
    process: null,
  })
  t.match(b, {
    eligible: false,
    state: 'misconfigured',
    reason: 'unauthorized',
    hint: 'It refuses our key. Set GENGATE_B_API_KEY.',
    last_generation_at: null,
    embedded: true,
    models: [],
  })
  t.equal(b?.url, 'http://127.0.0.1:10/x')
  t.notMatch(JSON.stringify(document), 'canary')
})

t.test('statusOf() names nobody where nobody serves, and no instant that is none', async (t) => {
  const world = new World(tableConfig({ specs: [spec({ name: 'a', model: '__proto__' })] }))
  const outcome = { kind: 'fail', reason: 'refused', detail: 'ECONNREFUSED' } as const
  world.at(10).tell('a', { type: 'probe_ended', at: 10, outcome }).sent('a')
  const document = statusOf(world.table, context(20))
  t.strictSame(Object.entries(document.serving), [
    ['default', null],
    ['__proto__', null],
  ])
  t.equal(document.upstreams[0]?.next_probe_at, null, 'one is under way')
  t.equal(document.upstreams[0]?.last_generation_at, null)
})

t.test(
  'statusOf() says when the prober doubts itself, and shows intent before evidence',
  async (t) => {
    const world = new World(tableConfig({ specs: [spec({ name: 'a', intent: 'draining' })] }))
    world.at(100).pass('a')
    const { nextTable } = await import('../../src/core/table.ts')
    const table = nextTable(world.table, { type: 'doubt', at: 200 })
    t.equal(statusOf(table, context(300)).in_doubt, true)
    t.equal(statusOf(table, context(10_000)).in_doubt, false)
    t.match(statusOf(table, context(300)).upstreams[0], {
      state: 'draining',
      reason: 'draining',
      eligible: false,
    })
  },
)

t.test('a probe that is due is sent now, not in the past', async (t) => {
  const world = new World(tableConfig({ specs: [spec({ name: 'a' })] }))
  world.at(100).pass('a').at(500_000)
  t.equal(
    statusOf(world.table, context(500_000)).upstreams[0]?.next_probe_at,
    new Date(WALL + 500_000).toISOString(),
  )
})

t.test('statusOf() shows everything that routing looks at', async (t) => {
  const groups = [{ public: 'small', members: [{ upstream: 'a', model: 'm2' }] }]
  const specs = [spec({ name: 'a', probe: 'passive', cold: 'never', maxConcurrency: 2 })]
  const world = new World(tableConfig({ specs, routing: 'least_busy', models: groups }))
  world.at(10).tell('a', { type: 'models', at: 10, models: ['m1', 'm2'].map(plainModel) })
  t.match(statusOf(world.table, context(20)), {
    policy: 'least_busy',
    groups,
    upstreams: [
      {
        models: ['m1', 'm2'],
        models_listed: true,
        model: null,
        probe: 'passive',
        cold: 'never',
        max_concurrency: 2,
      },
    ],
  })
})
