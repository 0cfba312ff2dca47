import type { FailReason, ProbeOutcome } from '../core/health/evidence.ts'

/** One metric: what it is, and for docs/metrics.md what to do about it. */
export interface MetricSpec {
  readonly kind: 'gauge' | 'counter' | 'histogram'
  readonly labels: readonly string[]
  /** Upper bounds in seconds; histograms only. */
  readonly buckets?: readonly number[]
  readonly help: string
  /** Which alert to build on it, or what it is good for. One line. */
  readonly advice: string
}

/** Stands where the gate itself answered; no upstream can be called so. */
export const NO_UPSTREAM = '-'

const perUpstream = ['upstream'] as const

/** A small model on two cores prefills a long prompt for minutes; a GPU answers in milliseconds. */
const FIRST_TOKEN_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320]
/** The bounds of the OpenTelemetry GenAI conventions for time per output token, with room above. */
const TOKEN_GAP_S = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10]
/** Up to the limit after which a probe's connection is given up (core/health/policy.ts). */
const PROBE_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 30]

/**
 * THE table of metrics. Names and labels are stable: dashboards are built on them. Label values
 * come from closed sets only (configured names, states, outcomes, statuses), never from clients.
 * Every row stands in docs/metrics.md; a test holds the two together.
 */
export const METRICS = {
  gengate_upstream_eligible: {
    kind: 'gauge',
    labels: perUpstream,
    help: '1 while the upstream gets new requests first, else 0.',
    advice: 'Page when the sum over all upstreams is 0 for a minute; warn when one is 0 for ten.',
  },
  gengate_upstream_state: {
    kind: 'gauge',
    labels: ['upstream', 'state'],
    help: '1 for the state that the upstream is in, 0 for every other.',
    advice: 'Warn on state="misconfigured" at once: only a person can mend it.',
  },
  gengate_upstream_in_flight: {
    kind: 'gauge',
    labels: perUpstream,
    help: 'Requests that the gate has at the upstream now.',
    advice: 'No alert; compare with the parallelism of the engine to see its queue.',
  },
  gengate_probe_deadline_seconds: {
    kind: 'gauge',
    labels: perUpstream,
    help: 'After this a generation probe counts as missed; derived from what the upstream shows.',
    advice: 'No alert; a rising value tells that probes of this upstream become slow.',
  },
  gengate_eject_after_seconds: {
    kind: 'gauge',
    labels: perUpstream,
    help: 'Silence after which a suspect upstream is called wedged; derived.',
    advice: 'No alert; when it exceeds what you can bear, look for what makes the engine slow.',
  },
  gengate_last_generation_timestamp_seconds: {
    kind: 'gauge',
    labels: perUpstream,
    help: 'When the upstream last proved that it generates, by probe or traffic (Unix time).',
    advice: 'Warn when time() minus it exceeds three quiet probe intervals (180 s by default).',
  },
  gengate_probes_total: {
    kind: 'counter',
    labels: ['upstream', 'outcome'],
    help: 'Generation probes that ended, by outcome.',
    advice: 'Warn on a rate of outcome="timeout" while outcome="pass" stands still.',
  },
  gengate_probe_duration_seconds: {
    kind: 'histogram',
    labels: perUpstream,
    buckets: PROBE_S,
    help: 'From sending a generation probe to its end, whatever the outcome.',
    advice: 'Warn when its p99 comes near gengate_probe_deadline_seconds.',
  },
  gengate_probe_tokens_total: {
    kind: 'counter',
    labels: perUpstream,
    help: 'Tokens that probes made the upstream generate.',
    advice: 'No alert; this is what probing costs.',
  },
  gengate_requests_total: {
    kind: 'counter',
    labels: ['upstream', 'code'],
    help: 'Requests that ended, by HTTP status; upstream="-" where the gate itself answered.',
    advice: 'Page on the share of code=~"5.." in all; code="503" alone means nobody could serve.',
  },
  gengate_time_to_first_token_seconds: {
    kind: 'histogram',
    labels: perUpstream,
    buckets: FIRST_TOKEN_S,
    help: 'From sending a request to the first content of its answer.',
    advice: 'Warn on a p95 beyond what your clients wait for.',
  },
  gengate_inter_token_seconds: {
    kind: 'histogram',
    labels: perUpstream,
    buckets: TOKEN_GAP_S,
    help: 'Between two pieces of content of one streamed answer.',
    advice: 'Warn when its p95 doubles against last week: the engine is overloaded or throttled.',
  },
  gengate_failovers_total: {
    kind: 'counter',
    labels: perUpstream,
    help: 'Requests that left this upstream for another before any content.',
    advice: 'Warn on a steady rate: clients are served, yet an upstream fails again and again.',
  },
  gengate_replays_total: {
    kind: 'counter',
    labels: perUpstream,
    help: 'Requests sent again on a fresh connection, as a used one had died before.',
    advice: 'No alert; a steady rate means that the engine closes idle connections within 4 s.',
  },
  gengate_client_aborts_total: {
    kind: 'counter',
    labels: ['upstream', 'phase'],
    help: 'Clients that left before their answer was complete, before or after its first content.',
    advice: 'Warn on a rising rate of phase="before_commit": answers begin too late for clients.',
  },
  gengate_midstream_failures_total: {
    kind: 'counter',
    labels: perUpstream,
    help: 'Answers cut after content had reached the client; it got an error, not an end.',
    advice: 'Warn on any increase: the engine crashes or is restarted under load.',
  },
  gengate_holds_total: {
    kind: 'counter',
    labels: [],
    help: 'Requests that had to wait because nothing could serve them at once.',
    advice: 'Warn on a steady rate: capacity or a cap is too small.',
  },
  gengate_route_changes_total: {
    kind: 'counter',
    labels: [],
    help: 'Times the upstream for the next default request became another one.',
    advice: 'Warn on more than ten in an hour: an upstream flaps.',
  },
  gengate_doubts_total: {
    kind: 'counter',
    labels: ['why'],
    help: 'Times the gate doubted itself, so that what it did not see counts against nobody.',
    advice: 'Warn on a steady rate of why="stalled": the gate does not get a processor.',
  },
  gengate_engine_state: {
    kind: 'gauge',
    labels: ['upstream', 'state'],
    help: '1 for what an engine that the gate owns does now, 0 for every other state.',
    advice: 'Page on state="gave_up": it stays down until somebody mends it and sends SIGHUP.',
  },
  gengate_engine_restarts_total: {
    kind: 'counter',
    labels: ['upstream', 'reason'],
    help: 'Restarts of an engine that the gate owns, by what ended the process before.',
    advice: 'Warn on any increase: the engine crashes or wedges, and its log says why.',
  },
  gengate_bugs_total: {
    kind: 'counter',
    labels: [],
    help: 'Times something in the gate failed that cannot fail; the log has the cause.',
    advice: 'Warn on any increase and report it with the log line.',
  },
  gengate_config_last_reload_successful: {
    kind: 'gauge',
    labels: [],
    help: '1 when the last reading of the configuration was valid, else 0 (the old one is kept).',
    advice: 'Warn when 0: an edit of the env file is not in force. /gate/status says why.',
  },
  gengate_build_info: {
    kind: 'gauge',
    labels: ['version', 'node'],
    help: 'Always 1; the labels say what runs.',
    advice: 'No alert; shows when a new version came in.',
  },
} as const satisfies Record<string, MetricSpec>

export type MetricName = keyof typeof METRICS

/** Names of one kind. */
export type NameOf<Kind extends MetricSpec['kind']> = {
  [Name in MetricName]: (typeof METRICS)[Name]['kind'] extends Kind ? Name : never
}[MetricName]

/** Label names and values of one series. */
export type Labels = Readonly<Record<string, string>>

/** What events are counted by. */
export interface Tally {
  readonly add: (name: NameOf<'counter'>, labels: Labels, value?: number) => void
  /** Takes milliseconds, shows seconds. */
  readonly observe: (name: NameOf<'histogram'>, upstream: string, ms: number) => void
}

/** Stands for a value outside a closed set, so that no input can grow the number of series. */
export const OTHER = 'other'

/** Every outcome label, spelled so that the compiler notices a new one. */
const OUTCOMES: Readonly<Record<Exclude<ProbeOutcome['kind'], 'fail'> | FailReason, true>> = {
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

export function labelOfOutcome(outcome: string): string {
  return Object.hasOwn(OUTCOMES, outcome) ? outcome : OTHER
}
