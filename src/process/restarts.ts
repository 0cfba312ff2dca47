import { type BackoffBounds, backoffMs } from '../core/health/policy.ts'
import type { EndCause } from '../core/owned/process.ts'
import type { Random } from '../runtime/random.ts'

/** Loading a model costs minutes of CPU, disk and memory: the wait grows to five minutes. */
const BACKOFF_MS: BackoffBounds = { first: 1_000, max: 300_000 }
/** Several gates, or several engines on one machine, must not start in step: ± a fifth. */
const JITTER = 0.2
/** An engine that generated for this long was well: the next end counts as the first again, ms. */
const WELL_AFTER_MS = 600_000
/** Restarts in an hour, after which an engine stays down: whatever is wrong, another start does not
 *  mend it. With the waits above a crash loop comes here after a quarter of an hour. */
export const RESTARTS_MAX = 10
/** The hour. */
export const WINDOW_MS = 3_600_000

/** What an owner remembers of earlier processes. Plain data; times are monotonic ms. */
export interface History {
  /** Ends within the last hour that count towards the cap, oldest first. */
  readonly counted: readonly number[]
  /** Such ends in a row, each after less than `WELL_AFTER_MS` of generating. */
  readonly streak: number
  /** The next start is not before this. */
  readonly notBefore: number
  readonly gaveUpAt: number | null
}

export const NO_HISTORY: History = {
  counted: [],
  streak: 0,
  notBefore: Number.NEGATIVE_INFINITY,
  gaveUpAt: null,
}

/** Ends that somebody wanted, and that say nothing against the engine. */
const WANTED: ReadonlySet<EndCause> = new Set(['changed', 'removed', 'idle', 'shutdown'])

/** An end of a process. */
export interface End {
  readonly cause: EndCause
  readonly at: number
  /** For how long it had generated, ms; null: it never did. */
  readonly servedMs: number | null
}

/** The history after an end: when the next start may be, or that there is none. Pure. */
export function afterEnd(was: History, end: End, random: Random): History {
  if (WANTED.has(end.cause)) return was
  const counted = [...countedAt(was, end.at), end.at]
  const well = end.servedMs !== null && end.servedMs >= WELL_AFTER_MS
  const streak = well ? 1 : was.streak + 1
  const waitMs = backoffMs(streak, BACKOFF_MS) * (1 - JITTER + 2 * JITTER * random())
  const gaveUpAt = counted.length > RESTARTS_MAX ? end.at : null
  return { counted, streak, notBefore: end.at + waitMs, gaveUpAt }
}

/** The ends that count towards the cap now. Pure. */
export function countedAt({ counted }: History, nowMs: number): readonly number[] {
  return counted.filter((at) => nowMs - at < WINDOW_MS)
}
