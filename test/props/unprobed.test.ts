import * as fc from 'fast-check'
import t from 'tap'
import type { Evidence, FlightItem, LiveFailure } from '../../src/core/health/evidence.ts'
import { decide, isServable } from '../../src/core/route.ts'
import type { RoutingTable } from '../../src/core/table.ts'
import type { ProbeMode } from '../../src/core/upstream.ts'
import { holds } from '../support/property.ts'
import { spec, tableConfig, World } from '../support/world.ts'

// Rows of docs/faults.md that are shown here: unprobed-failures.

// Goal: an upstream that nobody probes comes back by itself, one request at a time.
// Method: random evidence of the kinds that traffic gives, then quiet.

const LIVE: readonly LiveFailure[] = [
  'refused',
  'unreachable',
  'reset',
  'http_5xx',
  'error_body',
  'invalid_response',
  'truncated',
]
const QUIET_MS = 60_000

const item: fc.Arbitrary<Omit<FlightItem, 'sentAt'> & { readonly agoMs: number }> = fc.record({
  agoMs: fc.nat(90_000),
  bytes: fc.nat(9_000),
  streamed: fc.boolean(),
  contentAt: fc.constant(null),
  cold: fc.boolean(),
  maxTokens: fc.constant(null),
})
type Tell = (at: number) => Evidence
const told: fc.Arbitrary<Tell> = fc.oneof(
  fc.record({ gapMs: fc.nat(9_000) }).map((what) => (at: number): Evidence => ({
    type: 'progress',
    at,
    ...what,
  })),
  fc
    .record({ ttftMs: fc.nat(9_000), bytes: fc.nat(9_000), cold: fc.boolean() })
    .map((what) => (at: number): Evidence => ({ type: 'first_content', at, ...what })),
  fc
    .record({ streamed: fc.boolean(), tookMs: fc.nat(90_000), cold: fc.boolean() })
    .map((what) => (at: number): Evidence => ({ type: 'finished', at, ...what })),
  fc.constantFrom(...LIVE).map((failure) => (at: number): Evidence => ({
    type: 'live_failure',
    at,
    failure,
  })),
  fc.constantFrom('model_not_found' as const).map((reason) => (at: number): Evidence => ({
    type: 'live_misconfigured',
    at,
    reason,
  })),
  fc
    .constantFrom(
      'live_busy' as const,
      'live_refused' as const,
      'live_not_loaded' as const,
      'load_failed' as const,
      'reached' as const,
    )
    .map((type) => (at: number): Evidence => ({ type, at })),
  fc
    .constantFrom('embedding' as const, 'rerank' as const)
    .map((work) => (at: number): Evidence => ({ type: 'work_failed', at, work })),
  fc.array(item, { maxLength: 3 }).map((given) => (at: number): Evidence => {
    const items = given.map(({ agoMs, ...rest }) => ({ ...rest, sentAt: at - agoMs }))
    const inFlight = items.length
    return {
      type: 'flight',
      at,
      flight: { inFlight, waiting: inFlight, newest: items.at(-1) ?? null, items },
    }
  }),
)
const story = fc.array(fc.tuple(fc.nat(20_000), told), { minLength: 1, maxLength: 40 })
const nothing: Evidence['type'] = 'flight'

function unprobed(probe: ProbeMode): World {
  return new World(tableConfig({ specs: [spec({ probe })] }))
}

/** What has been told happens; then nobody asks for anything. */
function play(world: World, told: readonly (readonly [number, (at: number) => Evidence])[]): World {
  for (const [afterMs, what] of told) {
    world.at(world.now + afterMs)
    world.tell('a', what(world.now))
  }
  const flight = { inFlight: 0, waiting: 0, newest: null, items: [] }
  return world.tell('a', { type: nothing, at: world.now, flight } as Evidence)
}

const forwards = (table: RoutingTable, inFlight: number, nowMs: number): boolean =>
  decide(table, { model: null, tried: [] }, () => inFlight, nowMs).kind === 'forward'

for (const probe of ['off', 'passive'] as const) {
  t.test(`${probe}: after enough quiet a request is let through again`, async (t) => {
    holds(
      t,
      'no state can be left by a probe alone',
      fc.property(story, (told) => {
        const world = play(unprobed(probe), told)
        world.at(world.now + QUIET_MS)
        const { table } = world
        if (!isServable(table)) throw new Error(world.reason('a'))
        if (!forwards(table, 0, world.now)) throw new Error(`${world.reason('a')} forwards nothing`)
      }),
    )
  })

  t.test(`${probe}: and one that works makes it what it was`, async (t) => {
    holds(
      t,
      'a finished answer ends every failure',
      fc.property(story, (told) => {
        const world = play(unprobed(probe), told)
        world.at(world.now + QUIET_MS + 1_000)
        const finished = { type: 'finished', at: world.now, streamed: true, tookMs: 500 } as const
        world.tell('a', finished)
        if (world.reason('a') !== 'ok_by_traffic' && world.reason('a') !== 'busy') {
          if (!(probe === 'off' && world.reason('a') === 'ok')) throw new Error(world.reason('a'))
        }
        if (!forwards(world.table, 100, world.now)) throw new Error('still one at a time')
      }),
    )
  })
}

t.test('a refused upstream that nobody probes is tried by one request at a time', async (t) => {
  const world = unprobed('off')
  world.tell('a', { type: 'live_failure', at: 0, failure: 'refused' })
  t.equal(world.reason('a'), 'refused')
  t.equal(forwards(world.table, 0, 0), false)
  world.at(1_000)
  t.equal(world.reason('a'), 'live_failure')
  t.equal(forwards(world.table, 0, 1_000), true)
  t.equal(decide(world.table, { model: null, tried: [] }, () => 1, 1_000).kind, 'wait_for_slot')
  world.tell('a', { type: 'live_failure', at: 1_000, failure: 'refused' })
  t.equal(world.at(2_900).reason('a'), 'refused', 'the next try is later')
  t.equal(world.at(3_000).reason('a'), 'live_failure')
})

t.test('a try that is not refused lets the others through before it ends', async (t) => {
  const world = unprobed('off')
  world.tell('a', { type: 'live_failure', at: 0, failure: 'refused' }).at(1_000)
  const flying = (ms: number): World => {
    const newest = { sentAt: 1_000, bytes: 9, streamed: false, contentAt: null, maxTokens: null }
    const flight = { inFlight: 1, waiting: 1, newest, items: [newest] }
    return world.at(ms).tell('a', { type: 'flight', at: ms, flight })
  }
  t.equal(flying(1_200).reason('a'), 'live_failure')
  t.equal(flying(3_000).reason('a'), 'ok')
  t.equal(forwards(world.table, 1, 3_000), true)
})
