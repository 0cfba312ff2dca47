import { needsStart, type ProcessStatus } from '../core/owned/process.ts'
import type { Entry } from '../core/entry.ts'

/** The process of one upstream's engine, as `/gate/status` shows it. Nothing of its command line but
 *  the name of the program, and nothing of its output: both may hold keys. Times are ISO. */
export interface ProcessDocument {
  readonly state: string
  readonly since: string | null
  readonly pid: number | null
  readonly program: string
  readonly on_demand: boolean
  /** Would, or does, a request wait for its start? */
  readonly start_on_demand: boolean
  readonly restarts: number
  /** Ends in the last hour that count towards the cap of restarts. */
  readonly restarts_last_hour: number
  readonly last_end: {
    readonly reason: string
    readonly at: string | null
    readonly how: string
  } | null
  readonly next_start_at: string | null
  /** Path of the file with its output, or with that of the process that ended last. */
  readonly log: string | null
  readonly note: string
}

/** Null: the gate does not own the engine. Pure. */
export function processOf(
  status: ProcessStatus | null,
  { facts }: Entry,
  iso: (at: number | null) => string | null,
): ProcessDocument | null {
  if (status === null) return null
  const { lastEnd } = status
  return {
    state: status.state,
    since: iso(status.since),
    pid: status.pid,
    program: status.program,
    on_demand: status.onDemand,
    start_on_demand: needsStart(facts.process),
    restarts: status.restarts,
    restarts_last_hour: status.restartsLastHour,
    last_end:
      lastEnd === null ? null : { reason: lastEnd.cause, at: iso(lastEnd.at), how: lastEnd.how },
    next_start_at: iso(status.nextStartAt),
    log: status.log,
    note: status.note,
  }
}
