import fc from 'fast-check'
import t from 'tap'
import { PROCESS_STATES } from '../../src/core/owned/process.ts'
import { type Reason, REASONS } from '../../src/core/health/reason.ts'
import {
  decide,
  GRACE_MS,
  MOVING_MS,
  nextLookMs,
  type Situation,
} from '../../src/supervisor/decide.ts'
import { NO_HISTORY } from '../../src/process/restarts.ts'
import { wantOf } from '../../src/supervisor/machine.ts'
import { phaseAfter, stateOf } from '../../src/supervisor/book.ts'
import { holds } from '../support/property.ts'
import { plan, situation, verdict } from './situation.ts'

const HOUR = 3_600_000
/** The action in a few letters. */
function act(over: Partial<Situation>): string {
  const action = decide(situation(over))
  return 'cause' in action ? `${action.kind} ${action.cause}` : action.kind
}
const judged = (reason: Reason, ageMs: number, over: Partial<Situation> = {}): string =>
  act({ verdict: verdict({ reason, since: 1_000_000 - ageMs }), ...over })

t.test('decide() restarts what is proven, after it has stood for long enough', async (t) => {
  const table: [reason: Reason, ageMs: number, action: string][] = [
    ['wedged', 9_999, 'none'],
    ['wedged', 10_000, 'terminate wedged'],
    ['http_5xx', 59_999, 'none'],
    ['http_5xx', 60_000, 'terminate http_5xx'],
    ['truncated', 59_999, 'none'],
    ['truncated', 60_000, 'terminate truncated'],
    ['refused', 60_000, 'terminate refused'],
  ]
  for (const [reason, ageMs, action] of table)
    t.equal(judged(reason, ageMs), action, `${reason} for ${ageMs}`)
})

t.test('decide() never restarts for any other verdict, however long it stands', async (t) => {
  const proven = new Set<string>(['wedged', 'http_5xx', 'truncated', 'refused'])
  const others = (Object.keys(REASONS) as Reason[]).filter((reason) => !proven.has(reason))
  t.ok(others.length >= 15)
  for (const reason of others) t.equal(judged(reason, 24 * HOUR), 'none', reason)
})

t.test('decide() does not take a listener that is not there yet for a dead one', async (t) => {
  const starting = verdict({ reason: 'refused', since: 0, phase: 'starting' })
  t.equal(act({ verdict: starting }), 'none')
})

type Seen = Parameters<typeof verdict>[0]
const wedged = (over: Seen) => verdict({ reason: 'wedged', since: 0, ...over })
const at = (over: Seen): string => act({ verdict: wedged(over) })
const ending = (since: number, killed: boolean): string =>
  act({ owned: { kind: 'ending', since, cause: 'wedged', killed } })

t.test('decide() waits anew after a doubt, and longer while all are silent', async (t) => {
  t.equal(at({}), 'terminate wedged')
  t.equal(at({ doubtAt: 995_000 }), 'none', 'a doubt five seconds ago')
  t.equal(at({ doubtAt: 990_000 }), 'terminate wedged', 'one ten seconds ago')
  t.equal(at({ allSilent: true, since: 950_000 }), 'none', 'all silent for fifty seconds')
  t.equal(at({ allSilent: true, since: 940_000 }), 'terminate wedged', 'for sixty')
  t.equal(
    act({ verdict: wedged({}), owned: { kind: 'up', startedAt: 995_000 } }),
    'none',
    'a verdict on the process before this one',
  )
})

const draining = (since: number, over: Partial<Situation>): string =>
  act({ owned: { kind: 'draining', since, cause: 'changed' }, ...over })

t.test('decide() never cuts a stream that moves, and drains what may end well', async (t) => {
  const moving = { movedAt: 1_000_000 - MOVING_MS + 1 }
  const still = { movedAt: 1_000_000 - MOVING_MS }
  for (const reason of ['wedged', 'http_5xx', 'truncated', 'refused'] as const) {
    const busy = { verdict: verdict({ reason, ...moving }), inFlight: 1 }
    t.equal(act(busy), 'none', `${reason}, but it moves`)
  }
  const stalled = (reason: Reason): string =>
    act({ verdict: verdict({ reason, ...still }), inFlight: 2 })
  t.equal(stalled('http_5xx'), 'drain http_5xx')
  t.equal(stalled('wedged'), 'terminate wedged', 'a wedged one has nothing to finish')
  t.equal(draining(999_000, { inFlight: 0 }), 'terminate changed', 'all is finished')
  t.equal(draining(999_000, { inFlight: 1 }), 'none', 'within its time')
  t.equal(draining(970_000, { inFlight: 1 }), 'terminate changed', 'the bound')
  const late = { inFlight: 1, verdict: verdict(moving) }
  t.equal(draining(0, late), 'none', 'beyond the bound, but it moves')
})

t.test('decide() goes from SIGTERM over the grace to SIGKILL, once', async (t) => {
  t.equal(ending(1_000_000 - GRACE_MS + 1, false), 'wait')
  t.equal(ending(1_000_000 - GRACE_MS, false), 'kill')
  t.equal(ending(0, true), 'none')
})

const probing = (over: Partial<Situation>, seen: Seen = {}): string =>
  act({ verdict: verdict({ probing: true, ...seen }), ...over })

t.test('decide() lets a probe that is under way end first, but for a wedge', async (t) => {
  t.equal(probing({ want: 'on_demand', idleStopMs: 1_000 }), 'none')
  t.equal(probing({ changed: true }), 'drain changed')
  const owned = { kind: 'draining', since: 990_000, cause: 'changed' } as const
  t.equal(probing({ owned }), 'none')
  t.equal(probing({ owned, drainMs: 10_000 }), 'terminate changed', 'up to the bound')
  t.equal(probing({}, { reason: 'wedged', since: 0 }), 'terminate wedged')
})

t.test('decide() starts what is wanted, when it may', async (t) => {
  const down = (over: Partial<Situation>): string => act({ owned: { kind: 'down' }, ...over })
  t.equal(down({}), 'start')
  t.equal(down({ history: { ...NO_HISTORY, notBefore: 1_000_001 } }), 'wait', 'back-off')
  t.equal(down({ history: { ...NO_HISTORY, gaveUpAt: 0 } }), 'none', 'it ended too often')
  t.equal(down({ want: 'stop' }), 'none')
  t.equal(down({ want: 'leave' }), 'none')
  t.equal(down({ want: 'on_demand' }), 'none', 'nobody wants it')
  t.equal(down({ want: 'on_demand', verdict: verdict({ wantedAt: 5 }) }), 'start')
  t.equal(wantOf(plan({ intent: 'disabled' })), 'stop', 'a disabled one is never started')
  t.equal(wantOf(plan({ intent: 'draining' })), 'leave')
  t.equal(wantOf(plan({ idleStopMs: 60_000 })), 'on_demand')
  t.equal(wantOf(plan()), 'run')
  t.equal(wantOf(null), 'stop')
  const blocked = (until: number): string => act({ owned: { kind: 'blocked', until } })
  t.same([blocked(1_000_001), blocked(1_000_000)], ['wait', 'check'])
  t.equal(act({ owned: { kind: 'checking' } }), 'none')
})

t.test('decide() follows the configuration', async (t) => {
  t.equal(act({ changed: true }), 'terminate changed')
  t.equal(act({ changed: true, inFlight: 1 }), 'drain changed')
  t.equal(act({ want: 'stop' }), 'terminate removed')
  t.equal(act({ want: 'stop', inFlight: 1 }), 'drain removed')
  t.equal(act({ want: 'leave', changed: true }), 'none', 'the operator works on it')
  t.equal(act({ verdict: null }), 'none')
})

t.test('decide() stops an idle engine on demand, never one in use or starting', async (t) => {
  const idle = (over: Partial<Situation>): string =>
    act({ want: 'on_demand', idleStopMs: 60_000, ...over })
  t.equal(idle({ trafficAt: 940_000 }), 'terminate idle')
  t.equal(idle({ trafficAt: 940_001 }), 'wait')
  t.equal(idle({ trafficAt: 0, inFlight: 1 }), 'none')
  t.equal(idle({ verdict: verdict({ phaseAt: 990_000 }) }), 'wait', 'it has just become ready')
  t.equal(idle({ verdict: verdict({ phase: 'waking' }) }), 'none')
  t.equal(act({ trafficAt: 0 }), 'none', 'one that runs all the time')
})

t.test('decide() ends a process only for a cause that it was given', async (t) => {
  const reasons = Object.keys(REASONS) as Reason[]
  const any = fc.record({
    reason: fc.constantFrom(...reasons),
    since: fc.integer({ min: 0, max: 1_000_000 }),
    phase: fc.constantFrom('starting', 'running', 'waking', 'draining', null),
    movedAt: fc.option(fc.integer({ min: 0, max: 1_000_000 })),
    doubtAt: fc.option(fc.integer({ min: 0, max: 1_000_000 })),
    inFlight: fc.integer({ min: 0, max: 3 }),
    allSilent: fc.boolean(),
  })
  holds(
    t,
    'a running engine whose configuration stands is ended only for a proven reason',
    fc.property(any, ({ inFlight, ...seen }) => {
      const action = decide(situation({ inFlight, verdict: verdict(seen) }))
      if (action.kind === 'none') return true
      const age = 1_000_000 - Math.max(seen.since, seen.doubtAt ?? 0)
      const moves = inFlight > 0 && seen.movedAt !== null && 1_000_000 - seen.movedAt < MOVING_MS
      const cause = 'cause' in action ? action.cause : ''
      return cause === seen.reason && age >= 10_000 && !moves
    }),
  )
})

t.test('nextLookMs() looks at what is up, and leaves alone what is down', async (t) => {
  t.equal(nextLookMs('up', { kind: 'none' }, 0), 500)
  t.equal(nextLookMs('up', { kind: 'wait', until: 100 }, 0), 100)
  t.equal(nextLookMs('down', { kind: 'none' }, 0), null)
  t.equal(nextLookMs('down', { kind: 'wait', until: 90_000 }, 0), 90_000)
  t.equal(nextLookMs('checking', { kind: 'none' }, 0), null)
})

t.test('stateOf() has a word for all situations, phaseAfter() one for the table', async (t) => {
  const seen = new Set<string>()
  const state = (over: Partial<Situation>): string => {
    const word = stateOf(situation(over))
    seen.add(word)
    return word
  }
  const down = { owned: { kind: 'down' } } as const
  t.equal(state({}), 'running')
  t.equal(state({ verdict: verdict({ phase: 'starting' }) }), 'starting')
  t.equal(state({ ...down, want: 'stop' }), 'stopped')
  t.equal(state({ ...down, want: 'on_demand' }), 'asleep')
  t.equal(state(down), 'starting')
  t.equal(state({ owned: { kind: 'checking' } }), 'starting')
  t.equal(state({ ...down, history: { ...NO_HISTORY, notBefore: Infinity } }), 'backing_off')
  t.equal(state({ ...down, history: { ...NO_HISTORY, gaveUpAt: 1 } }), 'gave_up')
  t.equal(state({ owned: { kind: 'blocked', until: 1 } }), 'blocked')
  t.equal(state({ owned: { kind: 'draining', since: 1, cause: 'changed' } }), 'draining')
  t.equal(state({ owned: { kind: 'ending', since: 1, cause: 'idle', killed: false } }), 'ending')
  t.same([...seen].toSorted(), [...PROCESS_STATES].toSorted())
  const none = { kind: 'none' } as const
  t.equal(phaseAfter(situation(), none), undefined)
  t.equal(phaseAfter(situation({ ...down, want: 'stop' }), none), null)
  t.equal(phaseAfter(situation({ ...down, want: 'on_demand' }), none), 'asleep')
  t.equal(
    phaseAfter(situation({ ...down, want: 'on_demand' }), { kind: 'wait', until: 9 }),
    undefined,
  )
})
