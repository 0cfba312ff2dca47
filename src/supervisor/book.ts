import type { EndCause, ProcessStatus } from '../core/owned/process.ts'
import type { Random } from '../runtime/random.ts'
import { afterEnd, type History, NO_HISTORY } from '../process/restarts.ts'

/** Ends after which it stays shown as draining until the next start, or for good. */
export const PLANNED: ReadonlySet<EndCause> = new Set(['changed', 'removed', 'shutdown'])

/** Ends after which the next start is no restart. */
const NO_RESTART: ReadonlySet<EndCause> = new Set(['idle', 'removed'])

/** What an owner remembers of its processes. Times are monotonic ms. */
export class Book {
  history: History = NO_HISTORY
  /** When the process that runs first generated; null: not yet. */
  readyAt: number | null = null
  /** When a client's request was there last. */
  trafficAt = Number.NEGATIVE_INFINITY
  restarts = 0
  lastEnd: ProcessStatus['lastEnd'] = null
  /** Path of the file with the output of the newest process, also when that has ended. */
  log: string | null = null
  /** Deaths in a row that were alike, none of them after a generation. */
  alike = 0
  #words = ''
  /** Who keeps it from being started, or ''. */
  blockedBy = ''

  /** Forgets what earlier processes did; answers whether it had given up. */
  forgive(): boolean {
    const gaveUp = this.history.gaveUpAt !== null
    this.history = NO_HISTORY
    this.alike = 0
    return gaveUp
  }

  /** A process was started that writes to `log`; answers what the one before ended by, if this is a
   *  restart. */
  started(log: string | null): EndCause | null {
    const cause = this.lastEnd?.cause ?? null
    this.readyAt = null
    this.log = log
    if (cause === null || NO_RESTART.has(cause)) return null
    this.restarts++
    return cause
  }

  /** Answers whether it has ended too often. `lastLine`: what it said last, or ''. */
  ended(end: NonNullable<ProcessStatus['lastEnd']>, lastLine: string, random: Random): boolean {
    // Times and pids differ in what is said twice.
    const words = `${end.how} ${lastLine.replaceAll(/0x[\da-f]+|\d+/gi, '#')}`
    const isEarly = end.cause === 'exited' && this.readyAt === null
    this.alike = isEarly ? (words === this.#words ? this.alike : 0) + 1 : 0
    this.#words = words
    const servedMs = this.readyAt === null ? null : end.at - this.readyAt
    this.history = afterEnd(this.history, { cause: end.cause, at: end.at, servedMs }, random)
    this.lastEnd = end
    return this.history.gaveUpAt !== null
  }
}
