import t from 'tap'
import { nextProbeAt } from '../../../src/core/health/schedule.ts'
import { spec, tableConfig, World } from '../../support/world.ts'

const due = (world: World, name = 'a', jitter = 0) =>
  nextProbeAt(world.table, world.entry(name), world.now, jitter)

t.test('nextProbeAt() probes a new upstream at once and one at a time', async (t) => {
  const world = new World()
  t.equal(due(world), 0)
  t.equal(due(world.sent('a')), Infinity)
})

t.test('nextProbeAt() keeps the active and the quiet interval', async (t) => {
  t.equal(due(new World().pass('a')), 60_000)
  t.equal(due(new World().pass('a').active()), 2_000)
  t.equal(due(new World().pass('a').active(), 'a', 1), 2_200, 'jitter is a tenth')
})

t.test(
  'nextProbeAt() respects the longer quiet interval of an engine that a probe would pin',
  async (t) => {
    const specs = [spec({ quietIntervalMs: 330_000 })]
    t.equal(due(new World(tableConfig({ specs })).pass('a')), 330_000)
  },
)

t.test('nextProbeAt() does not let traffic elsewhere pin a model in memory', async (t) => {
  const pinned = { name: 'a', quietIntervalMs: 330_000 }
  const world = new World(tableConfig({ specs: [spec(pinned), spec({ name: 'b' })] }))
  world.pass('a').pass('b').active()
  t.equal(due(world, 'b'), 2_000)
  t.equal(due(world, 'a'), 330_000, 'clients are at b')
  world.at(30_000).active().at(89_000)
  t.equal(world.reason('a'), 'ok', 'and its proof lasts accordingly')
  const newest = { sentAt: 89_000, bytes: 10, streamed: true, contentAt: 89_000, maxTokens: null }
  world.tell('a', {
    type: 'flight',
    at: 89_000,
    flight: { inFlight: 1, waiting: 0, newest, items: [newest] },
  })
  t.equal(world.reason('a'), 'ok', 'nor does it expire in the face of its first client')
  t.ok(due(world, 'a') <= 89_400)
})

t.test('nextProbeAt() sends no probe while progress is seen', async (t) => {
  const world = new World().pass('a').active().at(1_900).progress('a')
  t.equal(due(world), 3_900)
})

t.test('nextProbeAt() confirms a first pass after an ejection soon', async (t) => {
  const world = new World().pass('a').active().at(1_000).sent('a')
  world.tell('a', {
    type: 'probe_ended',
    at: 1_000,
    outcome: { kind: 'fail', reason: 'refused', detail: '' },
  })
  t.equal(due(world), 3_000)
  t.equal(due(world.at(3_000).pass('a')), 3_500)
})

t.test('nextProbeAt() looks at once after a live failure', async (t) => {
  const world = new World().pass('a').active().at(1_000)
  world.tell('a', { type: 'live_failure', at: 1_000, failure: 'reset' })
  t.ok(due(world) <= 1_000)
})

t.test('nextProbeAt() asks once when a request has been silent for a moment', async (t) => {
  const world = new World().pass('a').active().at(1_000)
  const newest = { sentAt: 1_000, bytes: 10, streamed: true, contentAt: null, maxTokens: null }
  const flight = { inFlight: 1, waiting: 1, newest, items: [newest] }
  world.tell('a', { type: 'flight', at: 1_000, flight })
  t.equal(due(world), 1_400)
  world.at(1_400).pass('a')
  t.equal(due(world), 1_400 + 500, 'again, since the answer came in the same instant')
  world.at(1_900).pass('a')
  t.equal(due(world), 3_900, 'then at the regular pace')
})

t.test(
  'nextProbeAt() puts no probe into the queue of one that pauses between two tokens',
  async (t) => {
    const world = new World().pass('a').active().at(1_000).progress('a')
    const long = { sentAt: 500, bytes: 10, streamed: true, contentAt: 1_000, maxTokens: null }
    const newest = { ...long, sentAt: 900, contentAt: null }
    const flight = { inFlight: 2, waiting: 1, newest, items: [long, newest] }
    world.tell('a', { type: 'flight', at: 1_000, flight })
    t.equal(due(world), 3_000, 'an interval after the last token')
    world.tell('a', { type: 'flight', at: 1_000, flight: { ...flight, items: [newest] } })
    t.equal(due(world), 1_400, 'nothing is being delivered: at once')
  },
)

t.test('nextProbeAt() leaves the mistaken, the unprobed and the disabled alone', async (t) => {
  const world = new World().active().sent('a')
  world.tell('a', {
    type: 'probe_ended',
    at: 0,
    outcome: { kind: 'fail', reason: 'unauthorized', detail: '' },
  })
  t.equal(due(world), 10_000)
  for (const over of [{ probe: 'off' }, { probe: 'passive' }, { intent: 'disabled' }] as const) {
    t.equal(due(new World(tableConfig({ specs: [spec(over)] }))), Infinity)
  }
})

t.test('nextProbeAt() looks once at a live failure, also where no probe can pass', async (t) => {
  const world = new World()
  const cold = () =>
    world.sent('a').tell('a', { type: 'probe_ended', at: world.now, outcome: { kind: 'cold' } })
  cold().active().at(1_000).tell('a', { type: 'live_failure', at: 1_000, failure: 'reset' })
  t.equal(due(world), 1_000)
  cold()
  t.equal(due(world), 3_000, 'not every half second for ever')
})
