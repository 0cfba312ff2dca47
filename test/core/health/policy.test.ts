import t from 'tap'
import type { FlightItem } from '../../../src/core/health/evidence.ts'
import { type Facts, NO_FACTS } from '../../../src/core/health/facts.ts'
import {
  backoffMs,
  ejectAfterMs,
  gapBudgetMs,
  isLoadOver,
  loadBudgetMs,
  loadExcusesUntil,
  overdueLoad,
  probeDeadlineMs,
  silenceBudgetMs,
  unaryAllowanceMs,
  unaryExcuseMs,
  waitBudgetMs,
  workBudgetMs,
} from '../../../src/core/health/policy.ts'
import { mayAbandon } from '../../../src/core/route.ts'
import { patienceLost } from '../../../src/core/exchange/trying.ts'
import { World } from '../../support/world.ts'

// Rows of docs/faults.md that are shown here: wedge-after-load, load-never-ends.

// Goal: what counts as too long follows from what was asked and what was shown; how long a load takes says
// how long a load takes, and nothing of a model in memory; and a load that never
// ends keeps nobody for ever.
// Method: each budget by itself, then a table under a hand-driven clock.

const item = (over: Partial<FlightItem> = {}): FlightItem => ({
  sentAt: 0,
  bytes: 200,
  streamed: true,
  contentAt: null,
  maxTokens: null,
  ...over,
})
const policy = { detectWithinMs: 4_000, intervalMs: 2_000, quietIntervalMs: 60_000 }
const factsOf = (over: Partial<Facts>): Facts => ({ ...NO_FACTS, ...over })

const wait = (bytes: number, over: Partial<Facts> = {}) =>
  waitBudgetMs(policy, factsOf(over), bytes)
const budget = (...coldLoadsMs: number[]) => loadBudgetMs({ coldLoadsMs })

t.test('a probe is late after its share of the target, or four times what is usual', (t) => {
  const deadline = (...latenciesMs: number[]) => probeDeadlineMs(policy, factsOf({ latenciesMs }))
  t.equal(deadline(), 1_000)
  t.equal(probeDeadlineMs({ ...policy, intervalMs: 4_000 }, NO_FACTS), 500)
  t.equal(deadline(50, 600, 700), 2_400, 'four times the median')
  t.equal(deadline(50, 60, 25_000), 1_000, 'not the slowest: that was a fault')
  t.equal(deadline(20_000), 30_000, 'no probe is kept for longer')
  const eject = (latenciesMs: number[]) => ejectAfterMs(policy, factsOf({ latenciesMs }))
  t.equal(eject([]), 8_000, 'twice the target')
  t.equal(eject([1_000]), 12_000, 'three deadlines')
  t.end()
})

t.test('a gap between tokens is held against what was shown', (t) => {
  const gap = (longestGapMs: number) => gapBudgetMs(policy, factsOf({ longestGapMs }))
  t.strictSame([0, 1_000, 500_000].map(gap), [2_000, 4_000, 600_000])
  t.equal(gapBudgetMs(policy, factsOf({ latenciesMs: [1_500] })), 6_000, 'at least a deadline')
  t.end()
})

t.test('the wait for a first token grows with the request, until its speed was shown', (t) => {
  t.equal(wait(100), 2_000)
  t.equal(wait(4_000), 10_000, 'at 400 bytes a second')
  t.equal(wait(400, { latenciesMs: [900] }), 3_600, 'a probe waits, too')
  const ttfts = [1, 2, 3].map((s) => ({ bytes: 4_000, ms: s * 100 }))
  t.equal(wait(8_000, { ttfts }), 2_000, 'three of half the size say enough')
  t.equal(wait(8_001, { ttfts }), 20_002.5, 'smaller ones do not')
  t.equal(wait(10_000_000), 600_000, 'and there is an end')
  t.end()
})

t.test('a unary answer is given what answers take anywhere, or its own bound', (t) => {
  t.strictSame([unaryAllowanceMs(null, 500), unaryAllowanceMs(2, 9_000)], [1_000, 500])
  t.strictSame([unaryExcuseMs(null, 0), unaryExcuseMs(null, 50_000)], [60_000, 100_000])
  t.strictSame([unaryExcuseMs(8, 0), unaryExcuseMs(1e9, 0)], [2_000, 600_000])
  const silence = (over: Partial<FlightItem>, facts: Partial<Facts> = {}) =>
    silenceBudgetMs(factsOf(facts), item(over), { policy, longestUnaryMs: 700 })
  t.equal(silence({}), 2_000)
  t.equal(silence({ streamed: false }), 3_400)
  t.equal(silence({ contentAt: 1 }, { longestGapMs: 1_000 }), 4_000)
  t.equal(silence({ cold: true }), 60_000)
  t.equal(silence({ cold: true, streamed: false, maxTokens: 8 }), 62_000)
  t.equal(workBudgetMs({ facts: NO_FACTS, work: 'rerank' }, item({ bytes: 8_000 }), policy), 20_000)
  t.equal(workBudgetMs({ facts: NO_FACTS, work: 'rerank' }, item({ cold: true }), policy), 60_000)
  t.equal(workBudgetMs({ facts: NO_FACTS, work: 'rerank' }, item(), policy), 8_000)
  t.end()
})

t.test('a load is bounded by loads, and by nothing else', (t) => {
  t.strictSame([budget(), budget(5_000), budget(9_000, 8_000)], [60_000, 30_000, 36_000])
  t.equal(budget(1_000_000), 600_000)
  const over = (ms: number, coldLoadsMs: number[], of: Partial<FlightItem> = { cold: true }) =>
    isLoadOver({ coldLoadsMs, failure: null }, item(of), ms)
  t.strictSame([over(600_000, []), over(600_001, [])], [false, true])
  t.strictSame([over(120_000, [5_000]), over(120_001, [5_000])], [false, true])
  t.equal(over(700_000, [], {}), false, 'it waits for no load')
  t.equal(over(700_000, [], { cold: true, streamed: false }), false, 'nobody sees when it began')
  const load = { since: 1_000, at: 90_000, endedAt: null }
  t.equal(loadExcusesUntil(factsOf({ load })), 61_000)
  t.equal(loadExcusesUntil(factsOf({ load: { ...load, at: 2_000 } })), 2_000)
  t.equal(loadExcusesUntil(NO_FACTS), Number.NEGATIVE_INFINITY)
  const waits = item({ cold: true })
  const facts = factsOf({
    load,
    flight: { inFlight: 1, waiting: 1, newest: waits, items: [waits] },
  })
  t.strictSame(overdueLoad(facts, 60_999), { overdue: false, wakeAt: 61_000 })
  t.strictSame(overdueLoad(facts, 61_000), { overdue: true, wakeAt: Infinity })
  t.strictSame(overdueLoad({ ...facts, loadFailedAt: 5_000 }, 6_000), {
    overdue: true,
    wakeAt: 65_000,
  })
  t.strictSame(overdueLoad(NO_FACTS, 6_000), { overdue: false, wakeAt: Infinity })
  t.end()
})

t.test('backoffMs() doubles from the second failure on, up to its bound', (t) => {
  const bounds = { first: 100, max: 500 }
  t.strictSame(
    [0, 1, 2, 3, 4].map((times) => backoffMs(times, bounds)),
    [100, 100, 200, 400, 500],
  )
  t.end()
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
