import t from 'tap'
import type { FlightItem } from '../../src/core/health/evidence.ts'
import { mayAbandon } from '../../src/core/route.ts'
import { patienceLost } from '../../src/core/exchange/patience.ts'
import { World } from '../support/world.ts'

// Rows of docs/faults.md that are shown here: wedge-after-load, load-never-ends.

// Goal: how long a load takes says how long a load takes, and nothing of a model in memory; and a
// load that never ends keeps nobody for ever.
// Method: a table under a hand-driven clock.

const item = (over: Partial<FlightItem> = {}): FlightItem => ({
  sentAt: 0,
  bytes: 200,
  streamed: true,
  contentAt: null,
  maxTokens: null,
  ...over,
})
const request = (tried: readonly string[] = ['a']) => ({ model: null, tried })

function flying(world: World, ...items: FlightItem[]): World {
  const waiting = items.filter((one) => one.contentAt === null).length
  const flight = { inFlight: items.length, waiting, newest: items.at(-1) ?? null, items }
  return world.tell('a', { type: 'flight', at: world.now, flight })
}

function cold(world: World, name = 'a'): World {
  world.sent(name)
  return world.tell(name, { type: 'probe_ended', at: world.now, outcome: { kind: 'cold' } })
}

/** `a` was cold, and a stream loaded it in 6.6 s; `b` serves, too. */
function loaded(): World {
  const world = cold(new World()).pass('b').active()
  for (let ms = 0; ms <= 6_400; ms += 200) {
    flying(world.at(ms), item({ cold: true }))
    if (ms % 2_000 === 0) world.pass('b')
  }
  const first = { type: 'first_content', at: 6_600, ttftMs: 6_600, bytes: 200, cold: true } as const
  world.at(6_600).tell('a', first).pass('b')
  const finished = {
    type: 'finished',
    at: 6_700,
    streamed: true,
    tookMs: 6_700,
    cold: true,
  } as const
  return flying(world.at(6_700).tell('a', finished)).pass('a').pass('b')
}

t.test('a wedge after a cold load is convicted as if there had been none', async (t) => {
  const world = loaded()
  t.equal(world.reason('a'), 'ok_by_traffic')
  t.strictSame(world.entry('a').facts.ttfts, [])
  for (let ms = 10_000; ms <= 20_000; ms += 200) {
    flying(world.at(ms), item({ sentAt: 10_000 })).pass('b')
    if (ms === 10_400) world.sent('a')
  }
  t.equal(world.reason('a'), 'wedged', 'within ten seconds')
})

t.test('a unary answer after a load teaches no long answers', async (t) => {
  const world = cold(new World()).active()
  flying(world, item({ cold: true, streamed: false }))
  flying(world.at(6_000), item({ cold: true, streamed: false })).at(6_600)
  const finished = {
    type: 'finished',
    at: 6_600,
    streamed: false,
    tookMs: 6_600,
    cold: true,
  } as const
  const { facts } = world.tell('a', finished).entry('a')
  t.equal(facts.longestUnaryMs, 0)
  t.strictSame(facts.coldLoadsMs, [6_600])
})

t.test('what waits while another model is loaded teaches nothing either', async (t) => {
  const world = new World().pass('a').pass('b').active().at(1_000).sent('a')
  for (let ms = 1_000; ms <= 8_000; ms += 200) {
    flying(world.at(ms), item({ sentAt: 1_000, cold: true }), item({ sentAt: 1_200 })).pass('b')
  }
  t.equal(world.reason('a'), 'ok', 'it loads: neither its probe nor its requests are late')
  const outcome = { kind: 'pass', latencyMs: 7_000, tokens: 1 } as const
  world.at(8_100).tell('a', { type: 'probe_ended', at: 8_100, outcome })
  world.tell('a', { type: 'first_content', at: 8_100, ttftMs: 6_900, bytes: 200 })
  const { latenciesMs, ttfts } = world.entry('a').facts
  t.strictSame([latenciesMs, ttfts], [[50], []])
})

t.test('what queued for a load that is over excuses no wedge', async (t) => {
  const world = cold(new World()).pass('b').active()
  const waits = [1, 2, 3].map((sentAt) => item({ sentAt, cold: true }))
  for (let ms = 0; ms <= 3_000; ms += 200) flying(world.at(ms), ...waits).pass('b')
  world.tell('a', { type: 'first_content', at: 3_000, ttftMs: 2_999, bytes: 200, cold: true })
  world.progress('a').at(3_400).sent('a')
  const streams = item({ sentAt: 1, contentAt: 3_000, cold: true })
  for (let ms = 3_400; ms <= 12_000; ms += 200)
    flying(world.at(ms), streams, ...waits.slice(1)).pass('b')
  t.not(world.reason('a'), 'ok')
})

t.test('a load that was asked for after suspicion arose excuses no wedge', async (t) => {
  const world = new World().pass('a').pass('b').active().at(1_000).sent('a')
  for (let ms = 2_200; ms <= 10_000; ms += 200) {
    flying(world.at(ms), item({ sentAt: 2_200, cold: true })).pass('b')
  }
  t.equal(world.reason('a'), 'wedged')
})

t.test(
  'a model that freezes while it is loaded keeps no request that another can have',
  async (t) => {
    const world = cold(new World()).pass('b').active()
    const waits = item({ cold: true })
    const leaves = (ms: number) =>
      mayAbandon(flying(world.at(ms), waits).pass('b').table, 'a', {
        request: request(),
        item: waits,
        nowMs: ms,
      })
    t.equal(leaves(59_000), false, 'a first load is given a minute')
    t.equal(leaves(61_000), true)
    t.equal(world.reason('a'), 'silent', 'and its state says so')
  },
)

t.test('a load is given what loads have taken there before', async (t) => {
  const world = loaded()
  world.at(400_000)
  cold(world).pass('b')
  const waits = item({ sentAt: 400_000, cold: true })
  const leaves = (ms: number) =>
    mayAbandon(flying(world.at(ms), waits).pass('b').table, 'a', {
      request: request(),
      item: waits,
      nowMs: ms,
    })
  t.equal(leaves(429_000), false)
  t.equal(leaves(431_000), true)
})

t.test('the only upstream is given twice the time, and the client an end', async (t) => {
  const world = loaded()
  world.at(400_000)
  cold(world).sent('b')
  world.tell('b', {
    type: 'probe_ended',
    at: 400_000,
    outcome: { kind: 'fail', reason: 'refused', detail: '' },
  })
  const waits = item({ sentAt: 400_000, cold: true })
  const { epoch } = world.entry('a')
  const lost = (ms: number) =>
    patienceLost(
      flying(world.at(ms), waits).table,
      {
        lease: { upstream: 'a', epoch, item: waits },
        committed: false,
        replay: true,
        request,
        stillMs: 0,
      },
      ms,
    )
  t.equal(lost(431_000), null, 'nobody else can serve')
  t.match(lost(521_000), { kind: 'failed', code: 'upstream_stalled' })
})

t.test('where a load has failed, others are asked first for a while', async (t) => {
  const world = cold(new World()).pass('b').active()
  world.at(61_000).tell('a', { type: 'load_failed', at: 61_000 })
  t.equal(world.reason('a'), 'silent')
  t.equal(world.at(122_000).reason('a'), 'model_not_loaded')
})
