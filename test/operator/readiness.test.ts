import t from 'tap'
import { plainModel } from '../../src/core/model/model-choice.ts'
import { readinessOf } from '../../src/operator/readiness.ts'
import { spec, tableConfig, World } from '../support/world.ts'

const any = { model: null, verbose: false }
const context = { nowMs: 12_000, draining: false, inFlight: () => 0 }
const refused = { kind: 'fail', reason: 'refused', detail: 'ECONNREFUSED' } as const

t.test(
  'readinessOf() is 200 when something is servable and the gate is not draining',
  async (t) => {
    const world = new World()
    t.strictSame(readinessOf(world.table, any, context), { status: 503, body: 'not ready\n' })
    world.pass('b')
    t.strictSame(readinessOf(world.table, any, context), { status: 200, body: 'ok\n' })
    t.equal(readinessOf(world.table, any, { ...context, draining: true }).status, 503)
    const cold = new World().tell('a', { type: 'probe_ended', at: 0, outcome: { kind: 'cold' } })
    t.equal(readinessOf(cold.table, any, context).status, 200, 'cold on demand is servable')
  },
)

t.test('readinessOf() answers per model', async (t) => {
  const world = new World(
    tableConfig({
      specs: [
        spec({ name: 'a', model: 'm1', maxConcurrency: 1 }),
        spec({ name: 'b', model: 'm2' }),
      ],
      models: [
        { public: 'one', members: [{ upstream: 'a', model: 'm1' }] },
        { public: 'two', members: [{ upstream: 'b', model: 'm2' }] },
      ],
    }),
  )
  world.pass('a').tell('b', { type: 'probe_ended', at: 0, outcome: refused })
  const ask = (model: string, inFlight = 0) =>
    readinessOf(world.table, { model, verbose: false }, { ...context, inFlight: () => inFlight })
  t.equal(ask('one').status, 200)
  t.equal(ask('one', 1).status, 200, 'at its cap a request waits, which is being ready')
  t.equal(ask('two').status, 503)
  t.strictSame(ask('three'), { status: 404, body: 'unknown model\n' })
})

t.test('readinessOf() lists each check for people', async (t) => {
  const world = new World(
    tableConfig({ specs: [spec({ name: 'a' }), spec({ name: 'b' }), spec({ name: 'c' })] }),
  )
  world.pass('a').tell('b', { type: 'probe_ended', at: 0, outcome: refused })
  world.tell('c', { type: 'probe_ended', at: 0, outcome: { kind: 'cold' } })
  const verbose = { model: null, verbose: true }
  t.equal(
    readinessOf(world.table, verbose, context).body,
    [
      '[+]gate ok',
      '[+]a ok',
      '[-]b refused for 12 s: Nothing listens at its address. Start the engine, or check the URL.',
      '[+]c model_not_loaded: The model is not in memory. The first request loads it, if no other upstream is eligible.',
      'ok',
      '',
    ].join('\n'),
  )
  t.match(
    readinessOf(world.table, verbose, { ...context, draining: true }).body,
    /^\[-\]gate draining/,
  )
})

t.test(
  'readinessOf() is 200 for a name that can be loaded, and not for a default of none',
  async (t) => {
    const world = new World(tableConfig({ specs: [spec({ engine: 'ollama' })] }))
    const models = [
      { ...plainModel('e'), work: 'embedding' as const },
      { ...plainModel('c'), local: false },
    ]
    world
      .tell('a', { type: 'models', at: 0, models })
      .tell('a', { type: 'loaded', at: 0, names: [] })
    world.tell('a', { type: 'probe_ended', at: 0, outcome: { kind: 'cold' } })
    const ask = (model: string | null) =>
      readinessOf(world.table, { ...any, model }, context).status
    t.equal(ask(null), 200)
    t.equal(ask('e'), 200)
    t.equal(ask('default'), 404)
    world.tell('a', { type: 'models', at: 0, models: [] })
    t.equal(ask(null), 503, 'nothing can be loaded')
  },
)
