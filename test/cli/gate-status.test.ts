import fc from 'fast-check'
import t from 'tap'
import { parseGateStatus, servableOf, tableOf } from '../../src/cli/gate-status.ts'
import { decide, servesOf } from '../../src/core/route.ts'
import type { Evidence } from '../../src/core/health/evidence.ts'
import { plainModel } from '../../src/core/model/model-choice.ts'
import { holds } from '../support/property.ts'
import { fail, travelled, WALL, worldOf } from './status-world.ts'

const row = { name: 'vllm_cpu', eligible: true, in_flight: 3, models: ['tiny'] }
const documentOf = (...upstreams: unknown[]) => ({ version: '0.1.0', uptime_s: 90, upstreams })

t.test('parseGateStatus() takes what it needs and refuses what is no such document', async (t) => {
  t.match(parseGateStatus(documentOf(row)), {
    version: '0.1.0',
    uptime_s: 90,
    upstreams: [{ name: 'vllm_cpu', eligible: true, in_flight: 3, models: ['tiny'] }],
  })
  t.match(parseGateStatus(documentOf({ name: 'bare' }, 7, {})), {
    upstreams: [{ name: 'bare', eligible: false, since: null }],
  })
  for (const other of [null, [], 'x', {}, { upstreams: [] }, { version: '1', uptime_s: 1 }]) {
    t.equal(parseGateStatus(other), null)
  }
})

t.test('parseGateStatus() reads an older gate, item by item', async (t) => {
  const models = [{ id: 'm', size_bytes: 'many' }, { size_bytes: 1 }]
  const read = parseGateStatus(
    documentOf(
      { ...row, model_details: models, engine: 'later', process: { pid: 3 } },
      { ...row, process: { state: 'asleep', last_end: {} }, loaded: 'all' },
    ),
  )
  t.match(read, {
    policy: 'priority',
    groups: null,
    config: { error: null, shadowed: [] },
    upstreams: [
      { engine: 'openai', process: null, models_listed: true, works: { rerank: 'unproven' } },
      { model_details: null, loaded: null, process: { program: '', restarts: 0, last_end: null } },
    ],
  })
  t.same(read?.upstreams[0]?.model_details, [
    { ...plainModel('m'), fields: { owned_by: undefined } },
  ])
})

const LISTED = [...['m1', 'm3'].map(plainModel), { ...plainModel('x'), work: 'embedding' as const }]
/** What an upstream may show, besides what the world has names for. */
const EVIDENCE: readonly Evidence[] = [
  { type: 'probe_ended', at: 0, outcome: { kind: 'cold' } },
  { type: 'probe_ended', at: 0, outcome: { kind: 'busy', detail: 'http_429' } },
  { type: 'probe_ended', at: 0, outcome: { kind: 'embeds', latencyMs: 9 } },
  { type: 'live_failure', at: 0, failure: 'refused' },
  { type: 'live_failure', at: 0, failure: 'http_5xx' },
  { type: 'work_done', at: 0, work: 'embedding', tookMs: 9 },
  { type: 'work_done', at: 0, work: 'rerank', tookMs: 9 },
  { type: 'work_failed', at: 0, work: 'rerank' },
  { type: 'models', at: 0, models: LISTED },
  { type: 'models', at: 0, models: [] },
]

const anySpec = fc.record({
  model: fc.constantFrom(null, 'm1', 'm2'),
  intent: fc.constantFrom('enabled' as const, 'draining' as const, 'disabled' as const),
  probe: fc.constantFrom('active' as const, 'passive' as const, 'off' as const),
  cold: fc.constantFrom('on_demand' as const, 'never' as const),
  maxConcurrency: fc.constantFrom(null, 1, 2),
})
const anyHappening = fc.record({
  name: fc.constantFrom('a', 'b', 'c'),
  what: fc.constantFrom('pass' as const, 'refused' as const, 'wait' as const, ...EVIDENCE),
})

holds(
  t,
  'tableOf() decides as the gate does, and servableOf() knows who serves, over the status alone',
  fc.property(
    fc.tuple(anySpec, anySpec, anySpec),
    fc.array(anyHappening, { maxLength: 14 }),
    fc.record({
      routing: fc.constantFrom('priority' as const, 'least_busy' as const),
      grouped: fc.boolean(),
      loads: fc.tuple(fc.nat(2), fc.nat(2), fc.nat(2)),
      model: fc.constantFrom(null, '', 'default', 'm1', 'm3', 'x'),
      work: fc.constantFrom(undefined, null, 'embedding' as const, 'rerank' as const),
    }),
    (specs, happenings, { routing, grouped, loads, model, work }) => {
      const members = [
        { upstream: 'c', model: 'm3' },
        { upstream: 'a', model: 'm1' },
      ]
      const models = grouped ? [{ public: 'm1', members }] : null
      const world = worldOf(specs, { routing, models })
      for (const { name, what } of happenings) {
        if (what === 'pass') world.pass(name)
        else if (what === 'refused') fail(world, name)
        else if (what === 'wait') world.at(world.now + 1_500)
        else world.tell(name, { ...what, at: world.now })
      }
      const inFlight = (name: string): number => loads['abc'.indexOf(name)] ?? 0
      const request = { model, tried: [], work }
      const there = decide(world.table, request, inFlight, world.now)
      const table = tableOf(travelled(world, inFlight))
      const here = decide(table, request, inFlight, WALL + world.now)
      const shape = (decision: typeof here): unknown =>
        decision.kind === 'forward'
          ? [decision.entry.spec.name, decision.model, decision.serves]
          : decision
      const serving = world.table.entries.filter((entry) => servesOf(entry) !== 'no')
      const servable = servableOf(travelled(world, inFlight))
      return (
        JSON.stringify(shape(here)) === JSON.stringify(shape(there)) &&
        JSON.stringify([...servable]) === JSON.stringify(serving.map((entry) => entry.spec.name))
      )
    },
  ),
)
