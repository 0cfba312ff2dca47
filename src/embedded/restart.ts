import { type BackoffBounds, backoffMs } from '../core/health/policy.ts'

/** First wait before another start, and the longest one, milliseconds. */
const BACKOFF_MS: BackoffBounds = { first: 500, max: 30_000 }

/** A child that served for this long was well: the next crash counts as the first again, ms. */
const WELL_AFTER_MS = 60_000

/** Starts in a row that never came to serve, after which it is given up: the model crashes
 *  llama.cpp, and loading it for ever would only heat the machine. */
const STARTS_MAX = 5

/** What the parent remembers of crashes. Plain data. */
export interface CrashHistory {
  /** Crashes in a row, each after less than `WELL_AFTER_MS` of service. */
  readonly crashes: number
  /** Of these, the last ones that happened before the child served. */
  readonly startsFailed: number
}

export const NO_CRASHES: CrashHistory = { crashes: 0, startsFailed: 0 }

export interface CrashVerdict {
  readonly history: CrashHistory
  /** Milliseconds until the next start; null: give up. */
  readonly waitMs: number | null
}

/** After a crash: when to start again. `servedMs`: how long it served, null if it never did. Pure. */
export function afterCrash(history: CrashHistory, servedMs: number | null): CrashVerdict {
  const wasWell = servedMs !== null && servedMs >= WELL_AFTER_MS
  const crashes = wasWell ? 1 : history.crashes + 1
  const startsFailed = servedMs === null ? history.startsFailed + 1 : 0
  const waitMs = backoffMs(crashes, BACKOFF_MS)
  return { history: { crashes, startsFailed }, waitMs: startsFailed >= STARTS_MAX ? null : waitMs }
}
