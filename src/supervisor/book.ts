import { basename } from 'node:path'
import type { GateEvent } from '../core/event.ts'
import type {
  EndCause,
  ProcessPhase,
  ProcessState,
  ProcessStatus,
  ProcessStep,
} from '../core/owned/process.ts'
import {
  afterEnd,
  countedAt,
  type History,
  NO_HISTORY,
  type RestartPolicy,
} from '../process/restarts.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { TableStore } from '../state/table-store.ts'
import type { Action, Situation } from './decide.ts'
import type { EngineProcess, Plan } from './machine.ts'

/** Restarts in an hour, after which an engine stays down: whatever is wrong, another start does not
 *  mend it. With the waits below a crash loop comes here after a quarter of an hour. */
export const RESTARTS_MAX = 10

/** Loading a model costs minutes of CPU, disk and memory, so the wait grows to five minutes. It varies,
 *  since several gates, or several engines on one machine, must not start in step. */
export const ENGINE_RESTARTS: RestartPolicy = {
  backoff: { first: 1_000, max: 300_000 },
  jitter: 0.2,
  wellAfterMs: 600_000,
  hourlyMax: RESTARTS_MAX,
  failedStartsMax: Infinity,
}

/** Ends after which it stays shown as draining until the next start, or for good. */
export const PLANNED: ReadonlySet<EndCause> = new Set(['changed', 'removed', 'shutdown'])

/** Ends after which the next start is not a restart. */
const NO_RESTART: ReadonlySet<EndCause> = new Set(['idle', 'removed'])

/** Ends that somebody wanted, and that say nothing against the engine. */
const WANTED: ReadonlySet<EndCause> = new Set([...PLANNED, 'idle'])

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
    this.lastEnd = end
    const servedMs = this.readyAt === null ? null : end.at - this.readyAt
    if (!WANTED.has(end.cause)) {
      this.history = afterEnd(this.history, { at: end.at, servedMs }, ENGINE_RESTARTS, random)
    }
    return this.history.gaveUpAt !== null
  }
}

/** The state of an owned process in one word. Pure. */
export function stateOf({ owned, want, history, verdict, nowMs }: Situation): ProcessState {
  switch (owned.kind) {
    case 'down':
      if (history.gaveUpAt !== null) return 'gave_up'
      if (want === 'stop' || want === 'leave') return 'stopped'
      if (nowMs < history.notBefore) return 'backing_off'
      return want === 'on_demand' ? 'asleep' : 'starting'
    case 'checking':
      return 'starting'
    case 'up':
      return verdict?.phase === 'running' ? 'running' : 'starting'
    case 'blocked':
    case 'draining':
    case 'ending':
      return owned.kind
  }
}

/** What the table must be told when there is nothing to do: `undefined`: nothing new. Pure. */
export function phaseAfter(
  { owned, want, history }: Situation,
  action: Action,
): ProcessPhase | null | undefined {
  if (owned.kind !== 'down') return undefined
  if (want === 'stop') return null
  const sleeps = want === 'on_demand' && history.gaveUpAt === null && action.kind === 'none'
  return sleeps ? 'asleep' : undefined
}

/** What it waits for and what to do, or ''. Pure. */
export function noteOf(
  state: ProcessState,
  name: string,
  { blockedBy, alike }: Pick<Book, 'blockedBy' | 'alike'>,
): string {
  switch (state) {
    case 'gave_up':
      return `it ended more than ${RESTARTS_MAX} times within an hour, so it stays down. Mend what its log tells. Then send the gate SIGHUP, or change GENGATE_${name.toUpperCase()}_RUN, to start it again.`
    case 'blocked':
      return blockedBy
    case 'asleep':
      return 'it starts when a request needs it'
    case 'starting':
    case 'backing_off':
      return alike < 2
        ? ''
        : `it ended ${alike} times in a row in the same way, before it generated anything. Another start will hardly help. Run \`gengate status --verbose\` for its last words and what to do`
    case 'stopped':
    case 'running':
    case 'draining':
    case 'ending':
      return ''
  }
}

/** An owned process for people and programs. `since`: when it came into the state that it is in.
 *  Pure. */
export function statusOf(
  now: Situation,
  own: { name: string; plan: Plan; process: EngineProcess | null; since: number; book: Book },
): ProcessStatus {
  const { process, plan, book } = own
  const state = stateOf(now)
  return {
    state,
    since: state === 'running' ? (book.readyAt ?? own.since) : own.since,
    pid: process?.pid ?? null,
    program: basename(plan.line.command),
    onDemand: plan.idleStopMs !== null,
    restarts: book.restarts,
    restartsLastHour: countedAt(now.history, now.nowMs).length,
    lastEnd: book.lastEnd,
    nextStartAt: state === 'backing_off' ? now.history.notBefore : null,
    log: book.log,
    note: noteOf(state, own.name, book),
  }
}

/** What the operator reads of a start: never the arguments. Pure. */
export function startText({ line }: Plan, { pid, log }: EngineProcess): string {
  const where = log === null ? '' : `, its output goes to ${log}`
  return `${basename(line.command)}, pid ${pid ?? '-'}${where}`
}

/** Where an owner speaks to. */
export interface TellingDeps {
  readonly store: TableStore
  readonly clock: Clock
  readonly emit: (event: GateEvent) => void
}

/** What one owner tells: phases to the routing table, steps to the operator. */
export class Telling {
  readonly #name: string
  readonly #deps: TellingDeps
  #phase: ProcessPhase | null = null
  #epoch = 0

  constructor(name: string, deps: TellingDeps) {
    this.#name = name
    this.#deps = deps
  }

  /** Tells the table, unless it knows. */
  phase(phase: ProcessPhase | null): void {
    if (phase === this.#phase && phase !== 'starting' && phase !== 'waking') return
    this.#phase = phase
    this.#apply()
  }

  /** The entry has this epoch now: what was told of another one is void there. */
  epoch(epoch: number): void {
    if (epoch !== this.#epoch && this.#phase !== null) this.#apply()
  }

  step(step: ProcessStep, cause: EndCause | null, text: string): void {
    this.#deps.emit({ type: 'engine_process', upstream: this.#name, step, cause, text })
  }

  #apply(): void {
    const { store, clock } = this.#deps
    const entry = store.current.entries.find(({ spec }) => spec.name === this.#name)
    if (entry === undefined) return
    this.#epoch = entry.epoch
    const evidence = { type: 'process', at: clock.nowMs(), phase: this.#phase } as const
    store.apply({ type: 'evidence', name: this.#name, epoch: entry.epoch, evidence })
  }
}
