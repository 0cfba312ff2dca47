import t from 'tap'
import type { FlightItem } from '../../../src/core/health/evidence.ts'
import { hintOf } from '../../../src/core/explain.ts'
import { nextTable } from '../../../src/core/table.ts'
import { servesOf } from '../../../src/core/route.ts'
import { spec, tableConfig, World } from '../../support/world.ts'

// Rows of docs/faults.md that are shown here: prompt-read-with-keepalives.

// Goal: the verdict on one upstream follows from evidence and time alone.
// Method: a table under a hand-driven clock; every case is one short story.

const item = (over: Partial<FlightItem> = {}): FlightItem => ({
  sentAt: 0,
  bytes: 200,
  streamed: true,
  contentAt: null,
  maxTokens: null,
  ...over,
})
const flight = (...items: FlightItem[]) => ({
  inFlight: items.length,
  waiting: items.filter((one) => one.contentAt === null).length,
  newest: items.at(-1) ?? null,
  items,
})
const ready = () => new World().pass('a').pass('b').active()

t.test('judge() knows nothing before the first probe', async (t) => {
  t.equal(new World().reason('a'), 'not_probed_yet')
})

t.test('judge() makes one pass eligible at start', async (t) => {
  t.equal(new World().pass('a').reason('a'), 'ok')
})

t.test('judge() calls a silent probe missed at its deadline and wedged later', async (t) => {
  const world = ready().at(2_000).pass('b').sent('a')
  t.equal(world.at(2_900).reason('a'), 'ok')
  t.equal(world.at(3_000).reason('a'), 'probe_missed')
  t.equal(
    world.at(4_000).pass('b').at(6_000).pass('b').at(8_000).pass('b').reason('a'),
    'probe_missed',
  )
  t.equal(world.at(10_000).reason('a'), 'wedged', 'eight seconds after the probe was sent')
})

t.test('judge() stretches the deadline to the latency that the upstream has shown', async (t) => {
  const world = new World().pass('a', 900).pass('b').at(2_000).sent('a')
  t.equal(world.at(5_500).reason('a'), 'ok')
  t.equal(world.at(5_600).reason('a'), 'probe_missed', 'four times 900 ms')
})

t.test('judge() lets progress veto a missed probe, and says busy', async (t) => {
  const world = ready().at(1_000).sent('a')
  for (let ms = 1_500; ms <= 20_000; ms += 500) {
    world.at(ms).progress('a')
    t.equal(world.reason('a'), 'busy', `at ${ms}`)
  }
})

t.test('judge() convicts an engine whose progress has stopped', async (t) => {
  const world = ready().at(1_000).sent('a').at(1_500).progress('a')
  t.equal(world.at(4_000).reason('a'), 'probe_missed')
  t.equal(world.at(9_500).reason('a'), 'wedged')
})

t.test('judge() does not take the first token of a stream for progress', async (t) => {
  const world = ready().at(1_000).sent('a')
  world.at(1_500).tell('a', { type: 'first_content', at: 1_500, ttftMs: 10, bytes: 100 })
  t.equal(world.at(2_100).reason('a'), 'probe_missed')
})

t.test('judge() excuses silence by a long prompt that was sent before suspicion', async (t) => {
  const world = ready().at(1_000)
  world.tell('a', {
    type: 'flight',
    at: 1_000,
    flight: flight(item({ sentAt: 1_000, bytes: 20_000 })),
  })
  world.sent('a')
  t.equal(world.at(2_100).reason('a'), 'probe_missed', 'soft: new requests go elsewhere')
  t.equal(world.at(40_000).reason('a'), 'probe_missed', '20 kB may take 50 s')
  t.equal(world.at(51_100).reason('a'), 'wedged')
})

t.test('judge() does not let steady traffic excuse a wedge for ever', async (t) => {
  const world = ready().at(1_000).sent('a')
  for (let ms = 2_500; ms < 9_000; ms += 500) {
    world.at(ms)
    world.tell('a', { type: 'flight', at: ms, flight: flight(item({ sentAt: ms, bytes: 20_000 })) })
  }
  t.equal(world.at(9_100).reason('a'), 'wedged')
})

t.test(
  'judge() calls an upstream silent whose newest request waits beyond its budget',
  async (t) => {
    const world = ready().at(1_000)
    world.tell('a', { type: 'flight', at: 1_000, flight: flight(item({ sentAt: 1_000 })) })
    t.equal(world.at(2_900).pass('a').reason('a'), 'ok')
    t.equal(world.at(3_100).reason('a'), 'silent', 'although probes pass')
    t.equal(world.progress('a').reason('a'), 'busy', 'until something moves')
  },
)

t.test(
  'judge() does not call a unary answer silent before one has shown how long it takes',
  async (t) => {
    const world = ready().at(1_000)
    const unary = flight(item({ sentAt: 1_000, streamed: false }))
    world.tell('a', { type: 'flight', at: 1_000, flight: unary })
    for (let ms = 2_000; ms < 60_000; ms += 2_000) t.equal(world.at(ms).pass('a').reason('a'), 'ok')
    t.equal(world.at(63_100).pass('a').reason('a'), 'silent')
    const shown = ready().tell('a', { type: 'finished', at: 0, streamed: false, tookMs: 4_000 })
    shown.at(1_000).tell('a', { type: 'flight', at: 1_000, flight: unary })
    t.equal(shown.at(10_900).pass('a').reason('a'), 'ok', 'twice the longest before')
    t.equal(shown.at(11_100).pass('a').reason('a'), 'silent')
  },
)

t.test('judge() scales the silence with the size of the prompt', async (t) => {
  const world = ready().at(1_000)
  world.tell('a', {
    type: 'flight',
    at: 1_000,
    flight: flight(item({ sentAt: 1_000, bytes: 8_000 })),
  })
  for (let ms = 2_000; ms <= 20_000; ms += 2_000) {
    t.equal(world.at(ms).pass('a').reason('a'), 'ok', `at ${ms}`)
  }
  t.equal(world.at(21_100).reason('a'), 'silent')
})

t.test('judge() learns from similar prompts how long a prefill takes', async (t) => {
  const world = ready()
  for (let i = 0; i < 3; i++) {
    world.tell('a', { type: 'first_content', at: 0, ttftMs: 200, bytes: 8_000 })
  }
  world.at(1_000)
  world.tell('a', {
    type: 'flight',
    at: 1_000,
    flight: flight(item({ sentAt: 1_000, bytes: 8_000 })),
  })
  t.equal(world.at(3_100).pass('a').reason('a'), 'silent')
})

t.test('judge() knows that a stream may pause as long as it has paused before', async (t) => {
  const world = ready().tell('a', { type: 'progress', at: 0, gapMs: 3_000 })
  world.at(1_000)
  const streaming = flight(item({ sentAt: 0, contentAt: 1_000 }))
  world.tell('a', { type: 'flight', at: 1_000, flight: streaming })
  t.equal(world.at(12_900).pass('a').reason('a'), 'ok')
  t.equal(world.at(13_100).pass('a').reason('a'), 'silent')
})

t.test('judge() takes a refusal for load as neither failure nor proof', async (t) => {
  const world = ready().at(2_000).sent('a')
  const outcome = { kind: 'busy', detail: 'http_503' } as const
  world.at(2_100).tell('a', { type: 'probe_ended', at: 2_100, outcome })
  t.equal(world.reason('a'), 'ok')
  t.equal(world.at(3_100).reason('a'), 'probe_missed', 'nothing has generated since')
  for (let ms = 4_000; ms < 30_000; ms += 1_000) {
    world.at(ms).sent('a').tell('a', { type: 'probe_ended', at: ms, outcome })
  }
  t.equal(world.reason('a'), 'probe_missed', 'and never ejected by it')
})

t.test('judge() maps each proven failure to its reason', async (t) => {
  for (const reason of [
    'refused',
    'unreachable',
    'http_5xx',
    'invalid_response',
    'truncated',
    'loading',
    'model_not_found',
    'unauthorized',
    'bad_request',
    'wrong_kind',
  ] as const) {
    const world = ready().at(2_000).sent('a')
    const outcome = { kind: 'fail', reason, detail: '' } as const
    world.tell('a', { type: 'probe_ended', at: 2_000, outcome })
    t.equal(world.reason('a'), reason)
  }
})

t.test('judge() lets progress veto a failed probe, but not a refused connection', async (t) => {
  for (const [reason, then] of [
    ['http_5xx', 'busy'],
    ['refused', 'refused'],
  ] as const) {
    const world = ready().at(2_000).sent('a').at(2_500).progress('a')
    const outcome = { kind: 'fail', reason, detail: '' } as const
    world.tell('a', { type: 'live_busy', at: 2_500 })
    world.at(2_600).tell('a', { type: 'probe_ended', at: 2_600, outcome })
    t.equal(world.reason('a'), then)
  }
})

t.test('judge() makes a live failure suspect until a probe has looked', async (t) => {
  const world = ready().at(1_000)
  world.tell('a', { type: 'live_failure', at: 1_000, failure: 'http_5xx' })
  t.equal(world.reason('a'), 'live_failure')
  t.equal(world.at(1_100).pass('a').reason('a'), 'ok', 'a live 5xx never ejects alone')
  world.tell('a', { type: 'live_failure', at: 1_100, failure: 'refused' })
  t.equal(world.reason('a'), 'refused', 'nobody listens: out at once')
})

t.test('judge() lets evidence expire after three intervals', async (t) => {
  const world = ready()
  t.equal(world.at(5_900).reason('a'), 'ok')
  t.equal(world.at(6_000).reason('a'), 'stale')
})

t.test(
  'judge() does not let a quiet upstream expire in the face of the first client',
  async (t) => {
    const world = new World().pass('a').at(100_000)
    t.equal(world.reason('a'), 'ok', 'three quiet intervals')
    t.equal(world.active().reason('a'), 'ok')
    t.equal(world.at(105_900).reason('a'), 'ok')
    t.equal(world.at(106_100).reason('a'), 'stale')
  },
)

t.test('judge() doubts itself: silence counts from the last doubt', async (t) => {
  const world = ready().at(1_000).sent('a').at(1_900)
  world.table = { ...world.table, doubtAt: 1_900 }
  t.equal(world.at(2_800).reason('a'), 'ok')
  t.equal(world.at(2_900).reason('a'), 'probe_missed')
})

t.test('judge() is twice as patient when every upstream is silent at once', async (t) => {
  const world = ready().at(1_000).sent('a').sent('b')
  t.equal(world.at(9_100).reason('a'), 'probe_missed')
  t.equal(world.at(17_000).reason('a'), 'wedged')
})

t.test('judge() trusts an unprobed upstream as the operator said', async (t) => {
  const world = new World(
    tableConfig({
      specs: [spec({ name: 'a', probe: 'off' }), spec({ name: 'b', probe: 'passive' })],
    }),
  )
  t.equal(world.reason('a'), 'ok')
  t.equal(world.reason('b'), 'not_probed_yet')
  world.tell('a', { type: 'live_failure', at: 0, failure: 'reset' })
  world.tell('b', { type: 'finished', at: 0, streamed: true, tookMs: 10 })
  t.equal(world.reason('a'), 'live_failure')
  t.equal(world.reason('b'), 'ok_by_traffic')
  t.equal(world.at(5_000).reason('a'), 'ok', 'forgotten, since no probe will look')
})

t.test('judge() sees streams stand still behind a flow of new ones', async (t) => {
  const world = ready()
  const items: FlightItem[] = []
  for (let ms = 500; ms <= 5_000; ms += 500) {
    items.push(item({ sentAt: ms - 100, contentAt: ms }))
    world.at(ms).pass('a').pass('b')
    world.tell('a', { type: 'flight', at: ms, flight: flight(...items) })
  }
  t.equal(world.reason('a'), 'silent', 'each gave one token, and none a second')
})

t.test('judge() does not believe a verdict that our own stall held up', async (t) => {
  const world = ready().at(2_000).sent('a')
  const late = nextTable(world.table, { type: 'tick', at: 22_000 })
  t.equal(late.doubtAt, 22_000)
  t.not(late.entries[0]?.reason, 'wedged')
})

t.test('judge() does not let one probe that hung set the deadline', async (t) => {
  const world = ready()
  for (let ms = 1_000; ms <= 4_000; ms += 1_000) world.at(ms).pass('a').pass('b')
  world.at(5_000).pass('a', 20_000).pass('b').at(6_000).pass('b').sent('a').at(8_000).pass('b')
  t.equal(world.reason('a'), 'probe_missed')
})

t.test('judge() keeps the last resort that has been asked and is late', async (t) => {
  const world = new World().pass('a', 5_000).pass('b').active().at(1_000).sent('a')
  t.equal(world.at(7_000).reason('a'), 'probe_missed', 'not stale, which would serve nobody')
})

t.test('judge() takes progress for the answer to a probe that ended without one', async (t) => {
  const world = ready().at(1_000).sent('a')
  const outcome = { kind: 'busy', detail: 'http_503' } as const
  world.tell('a', { type: 'probe_ended', at: 1_000, outcome })
  t.equal(world.at(1_500).progress('a').at(3_600).reason('a'), 'ok')
})

t.test('one that sleeps is cold, serves nobody, and says how it is woken', async (t) => {
  const world = new World(tableConfig({ specs: [spec({})] }))
  world.tell('a', { type: 'probe_sent', at: world.now })
  world.at(world.now + 60_000)
  t.equal(world.reason('a'), 'wedged')
  const outcome = { kind: 'fail', reason: 'sleeping', detail: 'is_sleeping' } as const
  world.tell('a', { type: 'probe_ended', at: world.now, outcome })
  t.equal(world.reason('a'), 'sleeping', 'also where it was taken for wedged')
  const entry = world.entry('a')
  t.equal(servesOf(entry), 'no')
  t.match(hintOf(entry, world.now), /wake_up/)
})

t.test('a prompt that is read, as its keep-alives tell, is no silence and no wedge', async (t) => {
  const world = new World(tableConfig({ specs: [spec({ engine: 'mlx' })] })).pass('a')
  const sentAt = world.now
  world.tell('a', { type: 'probe_sent', at: world.now })
  const tell = (workedAt?: number): void => {
    const one = item({ sentAt, ...(workedAt === undefined ? {} : { workedAt }) })
    world.tell('a', { type: 'flight', at: world.now, flight: flight(one) })
  }
  for (let s = 0; s < 120; s += 2) {
    world.at(sentAt + s * 1_000)
    tell(world.now)
    t.not(world.reason('a'), 'wedged')
    t.notMatch(hintOf(world.entry('a'), world.now), /nothing moves/)
  }
  for (let s = 0; s < 120; s += 2) {
    world.at(world.now + 2_000)
    tell(sentAt + 118_000)
  }
  t.equal(world.reason('a'), 'wedged', 'but only while they rise')
})
