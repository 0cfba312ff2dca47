import { type BackoffBounds, backoffMs } from '../core/health/policy.ts'
import type { Random } from '../runtime/random.ts'

/** How a child is started again after it ended by itself. */
export interface RestartPolicy {
  /** The wait before the next start. */
  readonly backoff: BackoffBounds
  /** By which share of itself it varies to either side. */
  readonly jitter: number
  /** A child that served for this long was well: its end counts as the first again, ms. */
  readonly wellAfterMs: number
  /** Ends within an hour, beyond which it stays down. */
  readonly hourlyMax: number
  /** Ends in a row without having served, from which on it stays down. */
  readonly failedStartsMax: number
}

/** The hour. */
export const WINDOW_MS = 3_600_000

/** What is remembered of earlier processes of one child. Plain data; times are monotonic ms. */
export interface History {
  /** Ends within the last hour that count, oldest first. */
  readonly counted: readonly number[]
  /** Such ends in a row, each after less than `wellAfterMs` of service. */
  readonly streak: number
  /** Of these, the last ones that came before it served. */
  readonly failedStarts: number
  /** The next start is not before this. */
  readonly notBefore: number
  readonly gaveUpAt: number | null
}

export const NO_HISTORY: History = {
  counted: [],
  streak: 0,
  failedStarts: 0,
  notBefore: Number.NEGATIVE_INFINITY,
  gaveUpAt: null,
}

/** An end that nobody wanted. */
export interface End {
  readonly at: number
  /** For how long it had served, ms; null: it never did. */
  readonly servedMs: number | null
}

/** The history after an end: when the next start may be, or that there is none. Pure. */
export function afterEnd(
  was: History,
  { at, servedMs }: End,
  policy: RestartPolicy,
  random: Random,
): History {
  const { backoff, jitter, wellAfterMs, hourlyMax, failedStartsMax } = policy
  const counted = [...countedAt(was, at), at]
  const streak = servedMs !== null && servedMs >= wellAfterMs ? 1 : was.streak + 1
  const failedStarts = servedMs === null ? was.failedStarts + 1 : 0
  const waitMs = backoffMs(streak, backoff) * (1 - jitter + 2 * jitter * random())
  const givesUp = counted.length > hourlyMax || failedStarts >= failedStartsMax
  return { counted, streak, failedStarts, notBefore: at + waitMs, gaveUpAt: givesUp ? at : null }
}

/** The ends that count towards the cap of an hour now. Pure. */
export function countedAt({ counted }: History, nowMs: number): readonly number[] {
  return counted.filter((at) => nowMs - at < WINDOW_MS)
}
