import { stateOf } from '../core/entry.ts'
import { DOUBT_CAUSES, type GateEvent } from '../core/event.ts'
import type { FailReason, ProbeOutcome } from '../core/health/evidence.ts'
import { lastProofAt } from '../core/health/facts.ts'
import { ejectAfterMs, probeDeadlineMs } from '../core/health/policy.ts'
import { REASONS, type State } from '../core/health/reason.ts'
import { PROCESS_STATES, type ProcessState, type ProcessStatus } from '../core/owned/process.ts'
import type { RoutingTable } from '../core/table.ts'
import { Instruments, type Reading } from './instruments.ts'
import { NO_UPSTREAM } from './metric-table.ts'

/** One upstream at the moment of a scrape, as a plain value. */
export interface UpstreamView {
  readonly name: string
  readonly state: State
  readonly inFlight: number
  /** Last proof of generation on the wall clock, ms since 1970; null: never. */
  readonly lastGenerationWallMs: number | null
  readonly probeDeadlineMs: number
  readonly ejectAfterMs: number
  /** What its process does, where the gate owns it. */
  readonly engine?: ProcessState | null
}

/** What a scrape shows, read when it happens. */
export interface MetricsView {
  readonly upstreams: readonly UpstreamView[]
}

/** What the table cannot know. */
export interface ViewContext {
  readonly nowMs: number
  readonly wallMs: number
  readonly inFlight: (name: string) => number
  /** Absent: the gate owns no engine. */
  readonly engineOf?: (name: string) => ProcessStatus | null
}

/** The truth that the gauges show, from one snapshot. Pure. */
export function viewOf(table: RoutingTable, context: ViewContext): MetricsView {
  const { health } = table.config
  return {
    upstreams: table.entries.map((entry) => {
      const proofAt = lastProofAt(entry.facts)
      return {
        name: entry.spec.name,
        state: stateOf(entry),
        inFlight: context.inFlight(entry.spec.name),
        lastGenerationWallMs: proofAt === null ? null : context.wallMs - (context.nowMs - proofAt),
        probeDeadlineMs: probeDeadlineMs(health, entry.facts),
        ejectAfterMs: ejectAfterMs(health, entry.facts),
        engine: context.engineOf?.(entry.spec.name)?.state ?? null,
      }
    }),
  }
}

/** The metrics of one gate. */
export interface Metrics {
  /** Counts an event. Never throws for an event that the type allows. */
  readonly observe: (event: GateEvent) => void
  /** The Prometheus text, read now. */
  readonly text: () => Promise<string>
  readonly contentType: string
}

export interface MetricsParts {
  /** Called once per scrape. */
  readonly readView: () => MetricsView
  readonly version: string
}

const STATES: readonly State[] = [...new Set(Object.values(REASONS).map((row) => row.state))]

/**
 * The metrics on their own registry, never prom-client's global one. Gauges read the view when
 * they are scraped; what belongs to an upstream vanishes with it. The only file that turns
 * milliseconds into seconds.
 */
export function createMetrics({ readView, version }: MetricsParts): Metrics {
  const instruments = new Instruments()
  let view: MetricsView = { upstreams: [] }
  let reloaded = true

  for (const [name, read] of PER_UPSTREAM) {
    instruments.gauge(name, () => view.upstreams.flatMap(read))
  }
  instruments.gauge('gengate_config_last_reload_successful', () => [[{}, reloaded ? 1 : 0]])
  instruments.gauge('gengate_build_info', () => [[{ version, node: process.version }, 1]])

  // Started at 0, so that `rate()` sees the first increase.
  for (const why of DOUBT_CAUSES) instruments.add('gengate_doubts_total', { why }, 0)

  return {
    contentType: instruments.contentType,
    observe(event) {
      if (event.type === 'config_reloaded') reloaded = event.ok
      count(instruments, event)
    },
    async text() {
      view = readView()
      instruments.keepOnly(new Set(view.upstreams.map((upstream) => upstream.name)))
      return instruments.text()
    },
  }
}

/** How each gauge of an upstream reads its value. */
const PER_UPSTREAM: readonly (readonly [
  Parameters<Instruments['gauge']>[0],
  (upstream: UpstreamView) => readonly Reading[],
])[] = [
  ['gengate_upstream_eligible', (u) => one(u, u.state === 'eligible' ? 1 : 0)],
  [
    'gengate_upstream_state',
    (u) => STATES.map((state): Reading => [{ upstream: u.name, state }, u.state === state ? 1 : 0]),
  ],
  ['gengate_upstream_in_flight', (u) => one(u, u.inFlight)],
  [
    'gengate_engine_state',
    (u) =>
      u.engine == null
        ? []
        : PROCESS_STATES.map((state): Reading => [
            { upstream: u.name, state },
            u.engine === state ? 1 : 0,
          ]),
  ],
  ['gengate_probe_deadline_seconds', (u) => one(u, u.probeDeadlineMs / 1000)],
  ['gengate_eject_after_seconds', (u) => one(u, u.ejectAfterMs / 1000)],
  [
    'gengate_last_generation_timestamp_seconds',
    (u) => (u.lastGenerationWallMs === null ? [] : one(u, u.lastGenerationWallMs / 1000)),
  ],
]

function one(upstream: UpstreamView, value: number): readonly Reading[] {
  return [[{ upstream: upstream.name }, value]]
}

/** What each event adds. Exhaustive: a new event must say what it counts. */
function count(instruments: Instruments, event: GateEvent): void {
  switch (event.type) {
    case 'probe_ended': {
      const { upstream, durationMs, tokens } = event
      instruments.add('gengate_probes_total', { upstream, outcome: labelOfOutcome(event.outcome) })
      instruments.observe('gengate_probe_duration_seconds', upstream, durationMs / 1000)
      if (tokens > 0) instruments.add('gengate_probe_tokens_total', { upstream }, tokens)
      return
    }
    case 'first_content':
      instruments.observe(
        'gengate_time_to_first_token_seconds',
        event.upstream,
        event.ttftMs / 1000,
      )
      return
    case 'gap':
      instruments.observe('gengate_inter_token_seconds', event.upstream, event.gapMs / 1000)
      return
    case 'exchange_ended': {
      const upstream = event.upstream ?? NO_UPSTREAM
      instruments.add('gengate_requests_total', { upstream, code: labelOfStatus(event.status) })
      if (event.ending === 'cut') instruments.add('gengate_midstream_failures_total', { upstream })
      if (event.ending === 'client_gone') {
        instruments.add('gengate_client_aborts_total', { upstream, phase: event.phase })
      }
      return
    }
    case 'refused':
      instruments.add('gengate_requests_total', {
        upstream: NO_UPSTREAM,
        code: labelOfStatus(event.status),
      })
      return
    case 'bug':
      instruments.add('gengate_bugs_total', {})
      return
    case 'failover':
      instruments.add('gengate_failovers_total', { upstream: event.from })
      return
    case 'replayed':
      instruments.add('gengate_replays_total', { upstream: event.upstream })
      return
    case 'doubted':
      instruments.add('gengate_doubts_total', { why: event.why })
      return
    case 'held':
      instruments.add('gengate_holds_total', {})
      return
    case 'route_changed':
      instruments.add('gengate_route_changes_total', {})
      return
    case 'engine_process': {
      const { upstream, step, cause } = event
      if (step === 'started' && cause !== null) {
        instruments.add('gengate_engine_restarts_total', { upstream, reason: cause })
      }
      return
    }
    case 'state_changed':
    case 'model_meant':
    case 'model_unseen':
    case 'config_reloaded':
    case 'embedded':
  }
}

/** Stands for a value outside a closed set, so that no input can grow the number of series. */
const OTHER = 'other'

type Outcome = Exclude<ProbeOutcome['kind'], 'fail'> | FailReason

/** Every outcome label, spelled so that the compiler notices a new one. */
const OUTCOMES: Readonly<Record<Outcome, true>> = {
  pass: true,
  embeds: true,
  timeout: true,
  busy: true,
  cold: true,
  inconclusive: true,
  loading: true,
  sleeping: true,
  refused: true,
  unreachable: true,
  http_5xx: true,
  invalid_response: true,
  truncated: true,
  model_not_found: true,
  unauthorized: true,
  bad_request: true,
  wrong_kind: true,
}

function labelOfOutcome(outcome: string): string {
  return Object.hasOwn(OUTCOMES, outcome) ? outcome : OTHER
}

/** An upstream may answer with any number; only the statuses that HTTP has become labels. */
function labelOfStatus(status: number): string {
  return Number.isInteger(status) && status >= 100 && status <= 599 ? String(status) : OTHER
}
