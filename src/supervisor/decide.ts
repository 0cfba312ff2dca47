import type { Reason } from '../core/health/reason.ts'
import type { EndCause } from '../core/owned/process.ts'
import { contextOf, type RoutingTable } from '../core/table.ts'
import type { History } from '../process/restarts.ts'
import type { Want } from './machine.ts'

/** The process of one engine, as its owner sees it. Times are monotonic ms. */
export type Owned =
  | { readonly kind: 'down' }
  /** Whether it may be started is being found out. */
  | { readonly kind: 'checking' }
  /** Somebody else has its port or its lock. */
  | { readonly kind: 'blocked'; readonly until: number }
  | { readonly kind: 'up'; readonly startedAt: number }
  | { readonly kind: 'draining'; readonly since: number; readonly cause: EndCause }
  /** SIGTERM was sent at `since`; `killed`: SIGKILL, too. */
  | {
      readonly kind: 'ending'
      readonly since: number
      readonly cause: EndCause
      readonly killed: boolean
    }

/** Everything that a decision depends on. */
export interface Situation {
  readonly nowMs: number
  readonly want: Want
  /** Is it another process that is wanted than the one that runs? */
  readonly changed: boolean
  readonly owned: Owned
  readonly history: History
  /** What the routing table says of the upstream; null: it is not there. */
  readonly verdict: Verdict | null
  /** Requests that the gate has there. */
  readonly inFlight: number
  /** When a request of a client was there last; probes do not count. */
  readonly trafficAt: number
  readonly idleStopMs: number | null
  /** How long a drain may wait for answers in which nothing moves. */
  readonly drainMs: number
}

export type Action =
  | { readonly kind: 'none' }
  /** Nothing to do before `until`. */
  | { readonly kind: 'wait'; readonly until: number }
  | { readonly kind: 'start' }
  /** Look again whether it may be started, without starting it. */
  | { readonly kind: 'check' }
  | { readonly kind: 'drain'; readonly cause: EndCause }
  | { readonly kind: 'terminate'; readonly cause: EndCause }
  | { readonly kind: 'kill' }

/**
 * Verdicts that a restart can mend, and how long each must have stood, ms. The table convicts a wedge
 * after seconds, since it only moves traffic; a restart costs the model's load, so it waits longer. A
 * listener that is gone while the process lives says something only of one that has generated.
 */
const PROVEN: Partial<Record<Reason, { readonly cause: EndCause; readonly ms: number }>> = {
  wedged: { cause: 'wedged', ms: 10_000 },
  http_5xx: { cause: 'http_5xx', ms: 60_000 },
  truncated: { cause: 'truncated', ms: 60_000 },
  refused: { cause: 'refused', ms: 60_000 },
}
/** When all upstreams are silent at once it is rather our machine: a restart waits so many times longer. */
const ALL_SILENT_FACTOR = 6
/** A stream that gave something within this time moves, ms: it is not cut. */
export const MOVING_MS = 10_000
/** From SIGTERM to SIGKILL, ms: vLLM on CPU was seen to take 6.7 s. */
export const GRACE_MS = 10_000
/** How often a process that is up is looked at, ms. */
const LOOK_MS = 500

const NONE: Action = { kind: 'none' }

/**
 * What to do with one owned process now. Pure. It restarts what is proven to be wedged or broken, or
 * what is dead; never what is busy, loading, cold, misconfigured, suspect, or in doubt.
 */
export function decide(now: Situation): Action {
  const { owned } = now
  switch (owned.kind) {
    case 'checking':
      return NONE
    case 'down':
      return whileDown(now)
    case 'blocked':
      return after(now, owned.until, { kind: 'check' })
    case 'up':
      return whileUp(now, owned.startedAt)
    case 'draining':
      return whileDraining(now, owned)
    case 'ending':
      return owned.killed ? NONE : after(now, owned.since + GRACE_MS, { kind: 'kill' })
  }
}

/** `action` when its time has come. */
function after({ nowMs }: Situation, until: number, action: Action): Action {
  return nowMs < until ? { kind: 'wait', until } : action
}

function whileDown(now: Situation): Action {
  const { want, history, verdict } = now
  if (want === 'stop' || want === 'leave' || history.gaveUpAt !== null) return NONE
  const wanted = want === 'run' || (verdict?.wantedAt ?? null) !== null
  return after(now, history.notBefore, wanted ? { kind: 'start' } : NONE)
}

function whileUp(now: Situation, startedAt: number): Action {
  const { want, changed, verdict, nowMs, inFlight } = now
  if (want === 'leave') return NONE
  if (want === 'stop') return ending(now, 'removed')
  if (changed) return ending(now, 'changed')
  if (verdict === null) return NONE
  const cause = provenCause(verdict, startedAt, nowMs)
  if (cause !== null)
    return isMoving(now) ? NONE : cause === 'wedged' ? end(cause) : ending(now, cause)
  if (want !== 'on_demand' || now.idleStopMs === null || inFlight > 0) return NONE
  if (verdict.phase !== 'running' || verdict.probing) return NONE
  return after(now, Math.max(now.trafficAt, verdict.phaseAt) + now.idleStopMs, end('idle'))
}

/** Answers finish first, and a probe that is under way: llama-server hangs when it is told to end with
 *  a request in its queue. Streams that move are never cut, others have until the bound. */
function whileDraining(now: Situation, owned: Extract<Owned, { kind: 'draining' }>): Action {
  const mayWait = now.nowMs < owned.since + now.drainMs || isMoving(now)
  return hasRequests(now) && mayWait ? NONE : end(owned.cause)
}

/** The verdict for which a restart is due, or null. */
function provenCause(verdict: Verdict, startedAt: number, nowMs: number): EndCause | null {
  const { reason, phase } = verdict
  const proven = PROVEN[reason]
  if (proven === undefined || (reason === 'refused' && phase !== 'running')) return null
  // What was seen while we doubt ourselves, or of the process before this one, proves nothing.
  const since = Math.max(verdict.since, startedAt, verdict.doubtAt ?? startedAt)
  const patienceMs = proven.ms * (verdict.allSilent ? ALL_SILENT_FACTOR : 1)
  return nowMs - since < patienceMs ? null : proven.cause
}

function isMoving({ verdict, inFlight, nowMs }: Situation): boolean {
  return inFlight > 0 && nowMs - (verdict?.movedAt ?? -Infinity) < MOVING_MS
}

function ending(now: Situation, cause: EndCause): Action {
  return hasRequests(now) ? { kind: 'drain', cause } : end(cause)
}

function hasRequests({ inFlight, verdict }: Situation): boolean {
  return inFlight > 0 || verdict?.probing === true
}

function end(cause: EndCause): Action {
  return { kind: 'terminate', cause }
}

/** Until the next look, ms; null: none. What is up can change at any time; what is down only when
 *  something is told, or its time comes. Pure. */
export function nextLookMs(kind: Owned['kind'], action: Action, nowMs: number): number | null {
  const regular = kind === 'down' || kind === 'checking' ? Infinity : LOOK_MS
  const until = action.kind === 'wait' ? action.until - nowMs : Infinity
  const waitMs = Math.max(1, Math.min(regular, until))
  return Number.isFinite(waitMs) ? waitMs : null
}

/** What the routing table says of one upstream, as far as its process is concerned. Monotonic ms. */
export interface Verdict extends Omit<NonNullable<ReturnType<typeof verdictOf>>, 'reason'> {
  readonly reason: Reason
}

/** The verdict on the upstream `name`; null: the table has none. Pure. */
export function verdictOf(table: RoutingTable, name: string, nowMs: number) {
  const entry = table.entries.find(({ spec }) => spec.name === name)
  if (entry === undefined) return null
  const { facts, reason, since } = entry
  const { flight, progressAt, process, wantedAt } = facts
  const moved = [progressAt, ...flight.items.map((item) => item.contentAt)]
  const { doubtAt, allSilent } = contextOf(table, nowMs)
  return {
    /** What evidence says, whatever the operator intends. */
    reason,
    since,
    phase: process?.phase ?? null,
    phaseAt: process?.at ?? since,
    /** When we last doubted ourselves. */
    doubtAt,
    /** Is every probed upstream silent at once? */
    allSilent,
    /** When an answer from there last moved. */
    movedAt: moved.reduce((last, at) => Math.max(last ?? -Infinity, at ?? -Infinity)),
    /** Is a probe outstanding? An engine that is told to end while it has a request may wait for that. */
    probing: facts.sentAt !== null,
    /** Last request that waits for a start. */
    wantedAt,
  }
}
