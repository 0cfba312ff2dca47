import { durationText } from '../core/duration.ts'
import type { DoubtCause, GateEvent } from '../core/event.ts'
import type { ProcessStep } from '../core/owned/process.ts'
import { REASONS } from '../core/health/reason.ts'
import { clip } from '../errors/body.ts'

export const LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type Level = (typeof LEVELS)[number]

/** One line of the log before it is text: fields for machines, a sentence for people. */
export interface LogRecord {
  readonly level: Level
  readonly event: string
  /** Snake-case names; every string is clipped and escaped. */
  readonly fields: Readonly<Record<string, string | number | boolean | null>>
  /** Made only for those who read it. */
  readonly sentence: () => string
}

/** Longest string in a line, characters: ids and paths come from clients. */
const FIELD_MAX = 256
const NOTES_MAX = 2_000

/**
 * What an event looks like in the log; null: it is counted and never logged. Pure. Nothing but
 * the fields of the event gets in: no prompt, key, body or query string.
 */
export function recordOf(event: GateEvent): LogRecord | null {
  switch (event.type) {
    case 'exchange_ended':
      return ofExchange(event)
    case 'state_changed':
      return ofState(event)
    case 'probe_ended':
      return ofProbe(event)
    case 'doubted':
      return ofDoubt(event)
    case 'route_changed': {
      const [from, to] = [safe(event.from ?? 'nobody'), safe(event.to ?? 'nobody')]
      const fields = { from: event.from === null ? null : from, to: event.to === null ? null : to }
      const level = event.to === null ? 'warn' : 'info'
      return {
        level,
        event: event.type,
        fields,
        sentence: () => `requests go to ${to}, not ${from}`,
      }
    }
    case 'failover':
      return ofFailover(event)
    case 'replayed': {
      const fields = { upstream: safe(event.upstream) }
      const sentence = (): string =>
        `a used connection to ${fields.upstream} had died; the request went out on a fresh one`
      return { level: 'debug', event: event.type, fields, sentence }
    }
    case 'held': {
      const fields = { request_id: safe(event.requestId) }
      const sentence = (): string => `request ${fields.request_id} waits: nothing can serve it yet`
      return { level: 'debug', event: event.type, fields, sentence }
    }
    case 'model_meant':
      return ofMeant(event)
    case 'model_unseen':
      return ofUnseen(event)
    case 'config_reloaded':
      return ofReload(event)
    case 'refused': {
      const path = pathOf(event.path)
      const code = safe(event.code)
      const fields = { request_id: safe(event.requestId), path, status: event.status, code }
      const sentence = (): string => `${path} ${event.status}  gengate  ${code}`
      return { level: 'info', event: event.type, fields, sentence }
    }
    case 'bug': {
      const fields = { where: safe(event.where), message: clip(event.message, NOTES_MAX) }
      const sentence = (): string => `bug in ${fields.where}: ${fields.message}`
      return { level: 'error', event: event.type, fields, sentence }
    }
    case 'embedded': {
      const message = clip(event.message, NOTES_MAX)
      return { level: 'warn', event: event.type, fields: { message }, sentence: () => message }
    }
    case 'engine_process':
      return ofEngine(event)
    case 'first_content':
    case 'gap':
      return null
  }
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

/** A line about the gate itself: a bug, a failing observer, lines that were dropped. */
export function noteOf(level: Level, event: string, text: string): LogRecord {
  const message = clip(text, NOTES_MAX)
  return { level, event, fields: { message }, sentence: () => message }
}

function ofFailover(event: Extract<GateEvent, { type: 'failover' }>): LogRecord {
  const fields = { from: safe(event.from), why: safe(event.why) }
  const sentence = (): string => `a request left ${fields.from} for another upstream: ${fields.why}`
  return { level: 'warn', event: event.type, fields, sentence }
}

function ofMeant(event: Extract<GateEvent, { type: 'model_meant' }>): LogRecord {
  const fields = { upstream: safe(event.upstream), model: safe(event.model) }
  const text = safe(event.text)
  return { level: 'info', event: event.type, fields, sentence: () => `${fields.upstream}: ${text}` }
}

function ofUnseen(event: Extract<GateEvent, { type: 'model_unseen' }>): LogRecord {
  const fields = { request_id: safe(event.requestId), path: pathOf(event.path) }
  const sentence = (): string =>
    `request ${fields.request_id} goes to the default: its form is too large to be held, and no model stands in its first 64 KiB`
  return { level: 'warn', event: event.type, fields, sentence }
}

function ofExchange(event: Extract<GateEvent, { type: 'exchange_ended' }>): LogRecord {
  const path = pathOf(event.path)
  const method = safe(event.method)
  const upstream = event.upstream === null ? null : safe(event.upstream)
  const code = event.code === null ? null : safe(event.code)
  const failed = event.ending === 'cut' || (event.ending === 'failed' && event.status >= 500)
  return {
    level: failed ? 'warn' : 'info',
    event: event.type,
    fields: {
      request_id: safe(event.requestId),
      method,
      path,
      upstream,
      status: event.status,
      ending: event.ending,
      code,
      attempts: event.attempts,
      ttft_ms: event.ttftMs === null ? null : tenth(event.ttftMs),
      duration_ms: tenth(event.durationMs),
      bytes: event.bytes,
      phase: event.phase,
    },
    sentence: () =>
      [
        `${method} ${path} ${event.status}`,
        upstream ?? 'gengate',
        durationText(event.durationMs),
        ...(event.ttftMs === null ? [] : [`first token ${durationText(event.ttftMs)}`]),
        ...(event.attempts > 1 ? [`${event.attempts} attempts`] : []),
        ...(event.ending === 'finished' ? [] : [endingText(event.ending, event.phase)]),
        ...(code === null ? [] : [code]),
      ].join('  '),
  }
}

function ofDoubt({ type, why, lostMs }: Extract<GateEvent, { type: 'doubted' }>): LogRecord {
  const sentence = (): string =>
    `${DOUBTS[why](durationText(lostMs))}; no upstream is blamed for it`
  // A loaded machine is late all the time, and all of it is counted.
  const level = why === 'stalled' && lostMs < STALL_TOLD_MS ? 'debug' : 'warn'
  return { level, event: type, fields: { why, lost_ms: tenth(lostMs) }, sentence }
}

function ofReload(event: Extract<GateEvent, { type: 'config_reloaded' }>): LogRecord {
  const notes = clip(event.notes.join('; '), NOTES_MAX)
  const what = event.ok
    ? 'configuration read again'
    : 'configuration invalid, the old one stays in force'
  return {
    level: event.ok ? 'info' : 'error',
    event: event.type,
    fields: { ok: event.ok, notes },
    sentence: () => (notes === '' ? what : `${what}: ${notes}`),
  }
}

function ofEngine(event: Extract<GateEvent, { type: 'engine_process' }>): LogRecord {
  const { step, cause } = event
  const fields = {
    upstream: safe(event.upstream),
    step,
    cause,
    message: clip(event.text, NOTES_MAX),
  }
  const because = cause === null ? '' : ` (${cause})`
  const sentence = (): string => `${fields.upstream}: engine ${step}${because}: ${fields.message}`
  return { level: ENGINE_LEVEL[step], event: event.type, fields, sentence }
}

function endingText(ending: string, phase: string): string {
  if (ending === 'client_stalled') return 'client did not read'
  if (ending !== 'client_gone') return ending
  return phase === 'before_commit'
    ? 'client left before its answer'
    : 'client left during its answer'
}

function ofProbe(event: Extract<GateEvent, { type: 'probe_ended' }>): LogRecord {
  const upstream = safe(event.upstream)
  const outcome = safe(event.outcome)
  const { tokens, durationMs } = event
  const fields = { upstream, outcome, duration_ms: tenth(durationMs), tokens }
  const sentence = (): string => `${upstream}: probe ${outcome} after ${durationText(durationMs)}`
  return { level: 'debug', event: event.type, fields, sentence }
}

function ofState(event: Extract<GateEvent, { type: 'state_changed' }>): LogRecord {
  const fields = {
    upstream: safe(event.upstream),
    from: event.from,
    to: event.to,
    eligible: event.eligible,
    generation: event.generation,
    evidence: safe(event.evidence),
  }
  const because = fields.evidence === '' ? '' : ` (${fields.evidence})`
  return {
    level: levelOf(event),
    event: event.type,
    fields,
    sentence: () =>
      `${fields.upstream}: ${event.from} → ${event.to}${event.eligible ? ', eligible' : ''}${because}`,
  }
}

/** Between two reasons of one state (`ok` and `busy`) nothing has changed for anybody. */
function levelOf({ from, to, eligible }: Extract<GateEvent, { type: 'state_changed' }>): Level {
  if (REASONS[from].state === REASONS[to].state) return 'debug'
  return eligible ? 'info' : 'warn'
}

/** A path has no query here; should a caller forget, it must still not reach the log. */
function pathOf(path: string): string {
  const mark = path.indexOf('?')
  return safe(mark === -1 ? path : path.slice(0, mark))
}

function safe(text: string): string {
  return clip(text, FIELD_MAX)
}

function tenth(ms: number): number {
  return Math.round(ms * 10) / 10
}
