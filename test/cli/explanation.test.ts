import { plainModel } from '../../src/core/model/model-choice.ts'
import t from 'tap'
import { explainDocument, explainLines } from '../../src/cli/commands/explain.ts'
import { explanationOf, isServed } from '../../src/cli/explanation.ts'
import type { World } from '../support/world.ts'
import { fail, travelled, WALL, worldOf } from './status-world.ts'

/** Every line but the ages and the hints, which other tests know. */
function told(
  world: World,
  model: string | null,
  {
    load = () => 0,
    draining = false,
  }: { load?: (name: string) => number; draining?: boolean } = {},
) {
  const status = travelled(world, load, draining)
  const explanation = explanationOf(status, model, WALL + world.now)
  const lines = explainLines(explanation, WALL + world.now)
  return { explanation, lines, text: lines.join('\n'), document: explainDocument(explanation) }
}

t.test('explanationOf() says who is taken and what speaks against the others', async (t) => {
  const world = worldOf([{ model: 'big' }, { model: 'tiny' }, { model: 'other' }])
  fail(world, 'a').pass('b').pass('c').at(12_000)
  const { lines, document, explanation } = told(world, 'tiny')
  t.same(lines, [
    'A request for "tiny" goes to b (http://127.0.0.1:2): it is eligible.',
    '',
    '1. a: ejected, refused for 2 s',
    '   Nothing listens at its address. Start the engine, or check the URL.',
    '   Not taken: it is ejected.',
    '2. b: eligible, ok for 2 s',
    '   A probe generated a token.',
    '   Taken, with the model name as it is; 0 in flight.',
    '3. c: eligible, ok for 2 s',
    '   A probe generated a token.',
    '   Not taken: b comes before it in the order of preference.',
  ])
  t.equal(isServed(explanation), true)
  t.match(document, {
    model: 'tiny',
    served: true,
    decision: 'forward',
    upstream: 'b',
    tier: 'eligible',
    mapped_to: null,
    candidates: [
      { upstream: 'a', tier: null, taken: false, why_not: 'it is ejected' },
      { upstream: 'b', tier: 'eligible', mapped_to: null, taken: true, why_not: null },
      { upstream: 'c', tier: 'eligible', mapped_to: 'other', taken: false },
    ],
  })
  t.match(told(world, null), {
    lines: ['A request that names no model goes to b (http://127.0.0.1:2): it is eligible.'],
    document: { model: null, mapped_to: 'tiny' },
    text: 'Taken, with "tiny" as the model; 0 in flight.',
  })
})

t.test('explanationOf() tells the tiers and a cold one that may not be loaded', async (t) => {
  const cold = { kind: 'cold' } as const
  const world = worldOf([{ cold: 'never' }, {}, { model: 'm' }])
  for (const name of ['a', 'b']) {
    world.tell(name, { type: 'models', at: world.now, models: ['m'].map(plainModel) })
    world.tell(name, { type: 'probe_ended', at: world.now, outcome: cold })
  }
  const never = 'Not taken: it is cold, and GENGATE_A_COLD is never.'
  const loads = told(world, 'm')
  t.match(loads.lines[0], 'goes to b (http://127.0.0.1:2): it is cold.')
  t.match(loads.text, never)
  t.match(loads.document, { decision: 'forward', upstream: 'b', tier: 'cold' })
  world.pass('c')
  const proven = told(world, 'm')
  t.match(proven.document, { upstream: 'c', tier: 'eligible' })
  t.match(proven.text, 'Not taken: c is eligible, which comes first.')
  const unproven = told(worldOf([{ model: 'm', probe: 'passive' }]), 'm')
  t.match(unproven.document, { upstream: 'a', tier: 'suspect' })
  t.match(unproven.lines[0], 'it is unknown.')
})

t.test('explanationOf() says what is full, and that a request waits', async (t) => {
  const world = worldOf([{ model: 'm', maxConcurrency: 2 }, { model: 'm' }])
    .pass('a')
    .pass('b')
  const next = told(world, 'm', { load: (name) => (name === 'a' ? 2 : 0) })
  t.match(next.document, { upstream: 'b', candidates: [{ in_flight: 2, max_concurrency: 2 }] })
  t.match(next.text, 'Not taken: it is at its cap, with 2 in flight.')
  const one = worldOf([{ model: 'm', maxConcurrency: 1 }, { model: 'm' }]).pass('a')
  one.tell('b', { type: 'probe_ended', at: one.now, outcome: { kind: 'cold' } })
  const waits = told(one, 'm', { load: () => 1 })
  t.match(waits.document, { served: true, decision: 'wait_for_slot', upstream: null, tier: null })
  t.match(waits.lines[0], 'waits for a slot')
  t.match(waits.text, 'Not taken: an eligible one is worth the wait for a slot.')
})

t.test('explanationOf() knows who is less busy, and who has just come back', async (t) => {
  const specs = [{ model: 'm' }, { model: 'm' }]
  const equal = worldOf(specs, { routing: 'least_busy' }).pass('a').pass('b')
  const less = told(equal, 'm', { load: (name) => (name === 'a' ? 3 : 1) })
  t.match(less.document, { upstream: 'b' })
  t.match(less.text, 'Not taken: b is less busy (1 in flight, here 3).')
  t.match(told(equal, 'm').text, 'Not taken: a is not busier and comes first.')
  for (const routing of ['priority', 'least_busy'] as const) {
    const back = worldOf(specs, { routing }).pass('a').pass('b')
    fail(back.at(11_000), 'a', 'http_5xx')
    fail(back, 'a', 'http_5xx').pass('a').at(12_000).pass('a')
    t.equal(back.reason('a'), 'ok')
    const slow = told(back, 'm', { load: () => 5 })
    t.match(slow.document, { upstream: 'b' })
    t.match(slow.text, 'Not taken: it has just come back, and gets few requests at first.')
  }
})

t.test('explanationOf() says why nothing serves', async (t) => {
  const starting = worldOf([{ model: 'm' }])
  t.match(told(starting, 'm').lines[0], 'is held while the first probes run')
  const failed = told(fail(starting, 'a'), 'm')
  t.match(failed.document, { served: false, decision: 'hold', upstream: null })
  t.match(failed.lines[0], 'finds nothing to serve it: held for GENGATE_HOLD_MS at most, then 503')
  const off = worldOf([{ model: 'm', intent: 'disabled' }])
  t.match(told(off, 'm').text, /The operator set it to disabled\.[^]*Not taken: it is disabled\./)
  const proven = worldOf([{ model: 'm' }]).pass('a')
  const leaving = told(proven, 'm', { draining: true })
  t.match(leaving.document, { served: false, decision: 'draining', candidates: [{ taken: false }] })
  t.match(leaving.lines[0], 'is refused: this gate shuts down.')
})

t.test('explanationOf() lists the known names for one that nobody knows', async (t) => {
  const world = worldOf([{}, { model: 'chosen' }])
    .pass('a')
    .pass('b')
  const models = Array.from({ length: 22 }, (_, index) => `m${index}`)
  world.tell('a', { type: 'models', at: world.now, models: models.map(plainModel) })
  world.tell('b', { type: 'models', at: world.now, models: [] })
  const { lines, document, text } = told(world, 'nonsense')
  t.equal(lines[0], 'A request for "nonsense" gets 404: no upstream knows the model.')
  t.match(lines[1], /^Known: default, m0, chosen, m1, .*, m17 and 4 more\.$/)
  t.match(text, /-  a: eligible[^]*No candidate: it does not list the model\./)
  t.match(text, 'No candidate: it lists no model.')
  t.match(document, { served: false, decision: 'unknown_model', others: [{ upstream: 'a' }, {}] })
  const embeds = models.map((id) => ({ ...plainModel(id), work: 'embedding' as const }))
  world.tell('a', { type: 'models', at: world.now, models: embeds })
  const unable = 'it has no model that such a request could mean: '
  t.match(told(world, 'default').text, `${unable}set GENGATE_A`)
  const silent = told(worldOf([{}, { model: 'm' }]).pass('b'), 'm')
  t.match(silent.text, /-  a: [^]*No candidate: it has not told its models yet\./)
  const gone = worldOf([{}, { model: 'm' }]).pass('b')
  t.match(told(fail(gone, 'a'), 'm').text, /-  a: [^]*No candidate: it is ejected: refused\./)
})

t.test('explanationOf() follows GENGATE_MODELS, in its order', async (t) => {
  const members = [
    { upstream: 'b', model: 'm2' },
    { upstream: 'b', model: 'm3' },
    { upstream: 'a', model: 'm1' },
  ]
  const models = [{ public: 'small', members }]
  const world = worldOf([{}, {}, {}], { models }).pass('a').pass('b').pass('c')
  const { document, text } = told(world, 'small')
  t.match(document, {
    upstream: 'b',
    mapped_to: 'm2',
    candidates: [
      { taken: true },
      { taken: false, why_not: 'another model of it comes first' },
      { upstream: 'a', why_not: 'b comes before it in the order of preference' },
    ],
    others: [{ upstream: 'c', why_not: 'GENGATE_MODELS does not name it for this model' }],
  })
  t.match(text, 'Taken, with "m2" as the model')
  t.match(told(world, 'large').document, { decision: 'unknown_model', known: ['small'] })
})

t.test('explanationOf() says which model a request without one means, and why', async (t) => {
  const world = worldOf([{ engine: 'ollama' }, { engine: 'llamaswap', cold: 'never' }])
    .pass('a')
    .pass('b')
  const models = ['m1', 'm2'].map(plainModel)
  for (const name of ['a', 'b']) world.tell(name, { type: 'models', at: world.now, models })
  world.tell('a', { type: 'loaded', at: world.now, names: ['m2'] })
  world.tell('b', { type: 'loaded', at: world.now, names: [] })
  const none = told(world, null)
  t.match(none.text, 'A request without a model means m2: it is in memory.')
  t.match(none.text, '"m2" as the model')
  t.match(
    none.text,
    /-  b: [^]*No candidate: it has no model that such a request could mean: none that fits/,
  )
  const cold = told(world, 'm1')
  t.match(cold.document, { upstream: 'a', tier: 'cold', candidates: [{ means: 'm1' }, {}] })
  t.match(cold.text, 'Not taken: m1 is not in memory, and GENGATE_B_COLD is never.')
  world.tell('a', { type: 'loaded', at: world.now, names: [] })
  t.match(told(world, '').text, 'm1: it is listed first, and such a request loads it.')
})

t.test('explanationOf() says that a request has to name a model', async (t) => {
  const world = worldOf([{ engine: 'ollama' }]).pass('a')
  const models = [{ ...plainModel('e'), work: 'embedding' as const }]
  world.tell('a', { type: 'models', at: world.now, models })
  const { lines, document } = told(world, 'default')
  t.match(lines[0], 'gets 400: no upstream has a model that it could mean.')
  t.match(document, { served: false, decision: 'model_required', known: ['e'] })
})

t.test('explain says what the engine said to a probe, and drops it when it is over', async (t) => {
  const world = worldOf([{ name: 'a' }, { name: 'b' }])
  const outcome = { kind: 'fail', reason: 'bad_request', detail: 'http_400' } as const
  world.sent('a')
  const said = { ...outcome, said: 'no chat template' }
  world.tell('a', { type: 'probe_ended', at: world.now, outcome: said })
  t.match(told(world, null).text, 'It said to a probe: no chat template')
  world.pass('a')
  t.notMatch(told(world, null).text, 'no chat template')
})
