import { durationText } from '../core/explain.ts'
import type { DoubtCause, GateEvent } from '../core/event.ts'
import { REASONS } from '../core/health/reason.ts'
import type { ProcessStep } from '../core/owned/process.ts'
import { clip } from '../errors/body.ts'
import { labelOfOutcome, NO_UPSTREAM, OTHER, type Tally } from './metric-table.ts'

/** Looks at every event: metrics, the log, who owns engines. */
export interface Observer {
  /** For reports about itself. */
  readonly name: string
  readonly observe: (event: GateEvent) => void
}

/**
 * The one way in for events: tells every observer, in order. Never throws: watching must not hurt what is
 * watched. An observer that throws is reported once, so that a bug in it neither fails a request nor fills
 * the log. `report` may itself be the broken part.
 */
export function fanOut(
  observers: readonly Observer[],
  report: (name: string, error: unknown) => void,
): (event: GateEvent) => void {
  const reported = new Set<string>()
  return (event) => {
    for (const { name, observe } of observers) {
      try {
        observe(event)
      } catch (error) {
        if (reported.has(name)) continue
        reported.add(name)
        try {
          report(name, error)
        } catch {
          // Nobody is left to tell.
        }
      }
    }
  }
}

export const LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type Level = (typeof LEVELS)[number]

/** What is made of one kind of event. */
interface EventRow<Event> {
  /** Of its line in the log; absent: it is counted and never logged. */
  level?(event: Event): Level
  /** The line as people read it; strings are clipped and escaped already. */
  sentence?(event: Event): string
  /** What it adds to the metrics; absent: nothing. */
  count?(event: Event, tally: Tally): void
}

type Rows = { readonly [Type in GateEvent['type']]: EventRow<Extract<GateEvent, { type: Type }>> }

/** THE table of events: what the log says of each, and what the metrics count. */
const EVENTS: Rows = {
  exchange_ended: {
    level({ ending, status }) {
      return ending === 'cut' || (ending === 'failed' && status >= 500) ? 'warn' : 'info'
    },
    sentence(event) {
      const { ending, ttftMs, attempts, code } = event
      return [
        `${event.method} ${event.path} ${event.status}`,
        event.upstream ?? 'gengate',
        durationText(event.durationMs),
        ...(ttftMs === null ? [] : [`first token ${durationText(ttftMs)}`]),
        ...(attempts > 1 ? [`${attempts} attempts`] : []),
        ...(ending === 'finished' ? [] : [endingText(ending, event.phase)]),
        ...(code === null ? [] : [code]),
      ].join('  ')
    },
    count({ upstream: answered, status, ending, phase }, tally) {
      const upstream = answered ?? NO_UPSTREAM
      tally.add('gengate_requests_total', { upstream, code: labelOfStatus(status) })
      if (ending === 'cut') tally.add('gengate_midstream_failures_total', { upstream })
      if (ending === 'client_gone') tally.add('gengate_client_aborts_total', { upstream, phase })
    },
  },
  refused: {
    level: () => 'info',
    sentence: ({ path, status, code }) => `${path} ${status}  gengate  ${code}`,
    count({ status }, tally) {
      const labels = { upstream: NO_UPSTREAM, code: labelOfStatus(status) }
      tally.add('gengate_requests_total', labels)
    },
  },
  first_content: {
    count({ upstream, ttftMs }, tally) {
      tally.observe('gengate_time_to_first_token_seconds', upstream, ttftMs)
    },
  },
  gap: {
    count({ upstream, gapMs }, tally) {
      tally.observe('gengate_inter_token_seconds', upstream, gapMs)
    },
  },
  failover: {
    level: () => 'warn',
    sentence: ({ from, why }) => `a request left ${from} for another upstream: ${why}`,
    count: ({ from }, tally) => tally.add('gengate_failovers_total', { upstream: from }),
  },
  replayed: {
    level: () => 'debug',
    sentence: ({ upstream }) =>
      `a used connection to ${upstream} had died; the request went out on a fresh one`,
    count: ({ upstream }, tally) => tally.add('gengate_replays_total', { upstream }),
  },
  held: {
    level: () => 'debug',
    sentence: ({ requestId }) => `request ${requestId} waits: nothing can serve it yet`,
    count: (_, tally) => tally.add('gengate_holds_total', {}),
  },
  model_unseen: {
    level: () => 'warn',
    sentence: ({ requestId }) =>
      `request ${requestId} goes to the default: its form is too large to be held, and no model stands in its first 64 KiB`,
  },
  state_changed: {
    level({ from, to, eligible }) {
      // Between two reasons of one state (`ok` and `busy`) nothing has changed for anybody.
      if (REASONS[from].state === REASONS[to].state) return 'debug'
      return eligible ? 'info' : 'warn'
    },
    sentence({ upstream, from, to, eligible, evidence }) {
      const because = evidence === '' ? '' : ` (${evidence})`
      return `${upstream}: ${from} → ${to}${eligible ? ', eligible' : ''}${because}`
    },
  },
  route_changed: {
    level: ({ to }) => (to === null ? 'warn' : 'info'),
    sentence: ({ from, to }) => `requests go to ${to ?? 'nobody'}, not ${from ?? 'nobody'}`,
    count: (_, tally) => tally.add('gengate_route_changes_total', {}),
  },
  model_meant: {
    level: () => 'info',
    sentence: ({ upstream, sentence }) => `${upstream}: ${sentence}`,
  },
  probe_ended: {
    level: () => 'debug',
    sentence: ({ upstream, outcome, durationMs }) =>
      `${upstream}: probe ${outcome} after ${durationText(durationMs)}`,
    count({ upstream, outcome, durationMs, tokens }, tally) {
      tally.add('gengate_probes_total', { upstream, outcome: labelOfOutcome(outcome) })
      tally.observe('gengate_probe_duration_seconds', upstream, durationMs)
      if (tokens > 0) tally.add('gengate_probe_tokens_total', { upstream }, tokens)
    },
  },
  doubted: {
    // A loaded machine is late all the time, and all of it is counted.
    level: ({ why, lostMs }) => (why === 'stalled' && lostMs < STALL_TOLD_MS ? 'debug' : 'warn'),
    sentence: ({ why, lostMs }) =>
      `${DOUBTS[why](durationText(lostMs))}; no upstream is blamed for it`,
    count: ({ why }, tally) => tally.add('gengate_doubts_total', { why }),
  },
  engine_process: {
    level: ({ step }) => ENGINE_LEVEL[step],
    sentence({ upstream, step, cause, text }) {
      return `${upstream}: engine ${step}${cause === null ? '' : ` (${cause})`}: ${text}`
    },
    count({ upstream, step, cause }, tally) {
      if (step !== 'started' || cause === null) return
      tally.add('gengate_engine_restarts_total', { upstream, reason: cause })
    },
  },
  config_reloaded: {
    level: ({ ok }) => (ok ? 'info' : 'error'),
    sentence({ ok, notes }) {
      const what = ok ? 'read again' : 'invalid, the old one stays in force'
      return `configuration ${what}${notes.length === 0 ? '' : `: ${joined(notes)}`}`
    },
  },
  embedded: { level: () => 'warn', sentence: ({ message }) => message },
  bug: {
    level: () => 'error',
    sentence: ({ where, message }) => `bug in ${where}: ${message}`,
    count: (_, tally) => tally.add('gengate_bugs_total', {}),
  },
}

/** Counts an event. Never throws for an event that the type allows. */
export function countEvent(event: GateEvent, tally: Tally): void {
  const row: EventRow<GateEvent> = EVENTS[event.type]
  row.count?.(event, tally)
}

/** What the log says of an event, for machines or for people. */
export interface Line {
  readonly level: Level
  /** Snake-case names; every string is clipped and escaped. */
  readonly fields: () => Readonly<Record<string, unknown>>
  readonly sentence: () => string
}

/** What an event looks like in the log; null: it is counted and never logged. Pure. Nothing but the fields
 *  of the event gets in: no prompt, key, body or query string. */
export function lineOf(event: GateEvent): Line | null {
  const row: EventRow<GateEvent> = EVENTS[event.type]
  const level = row.level?.(event)
  if (level === undefined) return null
  return {
    level,
    fields: () => fieldsOf(event),
    sentence: () => row.sentence?.(printable(event)) ?? '',
  }
}

/** A line about the gate itself: a bug, a failing observer, lines that were dropped. */
export function noteOf(level: Level, text: string): Line {
  const message = clip(text, MESSAGE_MAX)
  return { level, fields: () => ({ message }), sentence: () => message }
}

/** Longest string in a line, characters: ids and paths come from clients. */
const FIELD_MAX = 256
/** What the gate itself says may be longer. */
const MESSAGE_MAX = 2_000
const MESSAGES: ReadonlySet<string> = new Set(['message', 'text', 'sentence'])

/** Fields that are called otherwise in the log; null: they stand in no line for machines. */
const NAMES: Readonly<Record<string, string | null>> = {
  type: null,
  sentence: null,
  requestId: 'request_id',
  ttftMs: 'ttft_ms',
  durationMs: 'duration_ms',
  lostMs: 'lost_ms',
  text: 'message',
}

function fieldsOf(event: GateEvent): Record<string, unknown> {
  const values: Readonly<Record<string, unknown>> = event
  const fields: Record<string, unknown> = {}
  for (const key of Object.keys(values)) {
    const value = values[key]
    const name = NAMES[key] === undefined ? key : NAMES[key]
    if (name !== null) fields[name] = Array.isArray(value) ? joined(value) : cleaned(key, value)
  }
  return fields
}

/** The event, with strings that are fit for a terminal. */
function printable<Event extends GateEvent>(event: Event): Event {
  const strings = Object.entries(event).filter(([, value]) => typeof value === 'string')
  return {
    ...event,
    ...Object.fromEntries(strings.map(([key, text]) => [key, cleaned(key, text)])),
  }
}

function cleaned(key: string, value: unknown): unknown {
  if (typeof value === 'number') return Math.round(value * 10) / 10
  if (typeof value !== 'string') return value
  // A path has no query here; should a caller forget, it must still not reach the log.
  const text = key === 'path' && value.includes('?') ? value.slice(0, value.indexOf('?')) : value
  return clip(text, MESSAGES.has(key) ? MESSAGE_MAX : FIELD_MAX)
}

function joined(notes: readonly unknown[]): string {
  return clip(notes.join('; '), MESSAGE_MAX)
}

/** An upstream may answer with any number; only the statuses that HTTP has become labels. */
function labelOfStatus(status: number): string {
  return Number.isInteger(status) && status >= 100 && status <= 599 ? String(status) : OTHER
}

/** A stall of the gate from here on is worth a line, ms. */
const STALL_TOLD_MS = 1_000

const DOUBTS: Readonly<Record<DoubtCause, (lost: string) => string>> = {
  stalled: (lost) => `the gate did not get a processor for ${lost}`,
  slept: (lost) => `the machine slept for ${lost}`,
  cannot_ask: () => 'the gate cannot ask its upstreams: no descriptors or no resolver',
}

/** What an operator must see, and what is the normal course of an engine's life. */
const ENGINE_LEVEL: Readonly<Record<ProcessStep, Level>> = {
  started: 'info',
  generated: 'info',
  draining: 'info',
  terminated: 'info',
  ended: 'info',
  resumed: 'info',
  blocked: 'warn',
  killed: 'warn',
  died: 'warn',
  gave_up: 'error',
}

function endingText(ending: string, phase: string): string {
  if (ending === 'client_stalled') return 'client did not read'
  if (ending !== 'client_gone') return ending
  return phase === 'before_commit'
    ? 'client left before its answer'
    : 'client left during its answer'
}
