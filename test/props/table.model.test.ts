import * as fc from 'fast-check'
import t from 'tap'
import type { Evidence, LiveFailure, ProbeOutcome } from '../../src/core/health/evidence.ts'
import { REASONS } from '../../src/core/health/reason.ts'
import { decide } from '../../src/core/route.ts'
import {
  emptyTable,
  type Entry,
  nextTable,
  type RoutingTable,
  shownReason,
} from '../../src/core/table.ts'
import type { Intent } from '../../src/core/upstream.ts'
import { holds } from '../support/property.ts'
import { spec, tableConfig } from '../support/world.ts'

// Goal: whatever order evidence comes in, the table keeps its promises.
// Method: random stories about three upstreams, against a model of a few lines per upstream.

const NAMES = ['a', 'b', 'c']
const REASONS_OF_FAILURE = ['refused', 'unreachable', 'http_5xx', 'truncated', 'loading'] as const
const LIVE: readonly LiveFailure[] = ['refused', 'reset', 'http_5xx', 'truncated']

type Step =
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'client' | 'doubt' }
  | { readonly kind: 'evidence'; readonly name: string; readonly old: boolean; readonly what: What }
  | { readonly kind: 'configure'; readonly intents: readonly Intent[]; readonly moved: number }

type What =
  | { readonly type: 'probe_sent' }
  | { readonly type: 'probe_ended'; readonly outcome: ProbeOutcome }
  | { readonly type: 'progress'; readonly gapMs: number }
  | { readonly type: 'first_content'; readonly ttftMs: number; readonly bytes: number }
  | { readonly type: 'finished'; readonly streamed: boolean; readonly tookMs: number }
  | { readonly type: 'live_failure'; readonly failure: LiveFailure }
  | { readonly type: 'live_busy' }
  | { readonly type: 'work_done'; readonly work: 'embedding'; readonly tookMs: number }
  | { readonly type: 'work_failed'; readonly work: 'embedding' }

const outcome: fc.Arbitrary<ProbeOutcome> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('pass' as const),
      latencyMs: fc.nat(2_000),
      tokens: fc.constant(1),
    }),
  },
  fc.record({
    kind: fc.constant('fail' as const),
    reason: fc.constantFrom(...REASONS_OF_FAILURE),
    detail: fc.constant('x'),
  }),
  fc.constantFrom<ProbeOutcome>(
    { kind: 'busy', detail: 'http_503' },
    { kind: 'cold' },
    { kind: 'embeds', latencyMs: 9 },
    { kind: 'timeout', limitMs: 30_000 },
    { kind: 'inconclusive', detail: 'ABORTED' },
  ),
)
const what: fc.Arbitrary<What> = fc.oneof(
  fc.constant<What>({ type: 'probe_sent' }),
  { weight: 3, arbitrary: fc.record({ type: fc.constant('probe_ended' as const), outcome }) },
  fc.record({ type: fc.constant('progress' as const), gapMs: fc.nat(3_000) }),
  fc.record({
    type: fc.constant('first_content' as const),
    ttftMs: fc.nat(5_000),
    bytes: fc.nat(9_000),
  }),
  fc.record({
    type: fc.constant('finished' as const),
    streamed: fc.boolean(),
    tookMs: fc.nat(9_000),
  }),
  fc.record({ type: fc.constant('live_failure' as const), failure: fc.constantFrom(...LIVE) }),
  fc.constant<What>({ type: 'live_busy' }),
  fc.constant<What>({ type: 'work_done', work: 'embedding', tookMs: 9 }),
  fc.constant<What>({ type: 'work_failed', work: 'embedding' }),
)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.oneof(fc.nat(3_000), fc.nat(200_000)),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('evidence' as const),
      name: fc.constantFrom(...NAMES),
      old: fc.boolean(),
      what,
    }),
  },
  fc.record({ kind: fc.constantFrom('client' as const, 'doubt' as const) }),
  fc.record({
    kind: fc.constant('configure' as const),
    intents: fc.array(fc.constantFrom<Intent>('enabled', 'draining', 'disabled'), {
      minLength: 3,
      maxLength: 3,
    }),
    moved: fc.nat(2),
  }),
)
const story = fc.array(step, { minLength: 1, maxLength: 60 })

const configOf = (intents: readonly Intent[], moved: number) =>
  tableConfig({
    specs: NAMES.map((name, i) =>
      spec({
        name,
        intent: intents[i] ?? 'enabled',
        url: `http://127.0.0.1:${i}${i === 0 ? moved : 9}`,
      }),
    ),
  })
const worksOf = (entry: Entry | undefined) => JSON.stringify(entry?.works)
const reasons = (table: RoutingTable) => table.entries.map(shownReason).join()

/** Plays a story; `look` sees every table with the time and the step before it. */
function play(
  steps: readonly Step[],
  look: (now: RoutingTable, at: number, before: RoutingTable, step: Step) => void,
): void {
  const config = configOf([], 0)
  let table = nextTable(emptyTable(config), { type: 'configured', at: 0, config })
  let at = 0
  const turn = (next: RoutingTable, step: Step): void => {
    const before = table
    table = next
    look(table, at, before, step)
  }
  for (const one of steps) {
    if (one.kind === 'wait') {
      const until = at + one.ms
      // As the prober does: asleep until a verdict may change.
      while (table.wakeAt <= until) {
        if (table.wakeAt <= at) throw new Error(`the table spins at ${at}`)
        at = table.wakeAt
        turn(nextTable(table, { type: 'tick', at }), one)
      }
      at = until
      turn(nextTable(table, { type: 'tick', at }), one)
    } else if (one.kind === 'evidence') {
      const epoch =
        (table.entries.find(({ spec }) => spec.name === one.name)?.epoch ?? 0) - (one.old ? 1 : 0)
      const evidence = { ...one.what, at } as Evidence
      turn(nextTable(table, { type: 'evidence', name: one.name, epoch, evidence }), one)
    } else if (one.kind === 'configure') {
      turn(
        nextTable(table, { type: 'configured', at, config: configOf(one.intents, one.moved) }),
        one,
      )
    } else {
      turn(nextTable(table, { type: one.kind === 'client' ? 'client_active' : 'doubt', at }), one)
    }
  }
}

t.test('nextTable() wakes in the future, and the generation counts what is seen', async (t) => {
  holds(
    t,
    'wakeAt lies ahead; a new generation exactly when a reader can see a change',
    fc.property(story, (steps) => {
      play(steps, (now, at, before, one) => {
        if (now.wakeAt <= at) throw new Error(`wakes at ${now.wakeAt}, now is ${at}`)
        const seen =
          one.kind === 'configure' ||
          now.entries.some((e, i) => e.reason !== before.entries[i]?.reason) ||
          now.entries.some((e, i) => worksOf(e) !== worksOf(before.entries[i]))
        if (seen !== now.generation > before.generation) throw new Error('generation')
      })
    }),
  )
})

t.test('nextTable() lets evidence of another epoch change nothing', async (t) => {
  holds(
    t,
    'it is as if only time had passed',
    fc.property(story, (steps) => {
      play(steps, (now, at, before, one) => {
        if (one.kind !== 'evidence' || !one.old) return
        const passed = nextTable(before, { type: 'tick', at })
        if (JSON.stringify(passed) !== JSON.stringify(now)) throw new Error(one.what.type)
      })
    }),
  )
})

t.test('nextTable() and decide() serve by proof, never against the operator', async (t) => {
  holds(
    t,
    'eligible means proven since the last failure, and a draining one gets nothing',
    fc.property(story, (steps) => {
      const proven = new Set<string>()
      const epochs = new Map<string, number>()
      play(steps, (now, _at, _before, one) => {
        for (const { spec, epoch } of now.entries) {
          if (epochs.get(spec.name) !== epoch) proven.delete(spec.name)
          epochs.set(spec.name, epoch)
        }
        if (one.kind === 'evidence' && !one.old) {
          const { type } = one.what
          if (type === 'progress' || type === 'finished') proven.add(one.name)
          if (type === 'probe_ended' && one.what.outcome.kind === 'pass') proven.add(one.name)
        }
        for (const entry of now.entries) {
          const { state } = REASONS[shownReason(entry)]
          if (state === 'eligible' && !proven.has(entry.spec.name)) throw new Error(entry.spec.name)
          if (state === 'eligible' && entry.facts.failure !== null) throw new Error('failed')
        }
        const next = decide(now, { model: null, tried: [] }, () => 0)
        if (next.kind !== 'forward') return
        if (next.entry.spec.intent !== 'enabled') throw new Error(next.entry.spec.intent)
        const best = now.entries.some((e) => REASONS[shownReason(e)].state === 'eligible')
        if (best && next.serves !== 'first') throw new Error(`${next.serves} before eligible`)
      })
    }),
  )
})

t.test('nextTable() settles: the same instant twice is once', async (t) => {
  holds(
    t,
    'a second tick changes no reason and no wake-up',
    fc.property(story, (steps) => {
      play(steps, (now, at) => {
        const again = nextTable(now, { type: 'tick', at })
        if (reasons(again) !== reasons(now) || again.generation !== now.generation) {
          throw new Error(`${reasons(now)} becomes ${reasons(again)}`)
        }
      })
    }),
  )
})
