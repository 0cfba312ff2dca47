import { basename } from 'node:path'
import type { ProcessPhase, ProcessState, ProcessStatus } from '../core/owned/process.ts'
import type { Book } from './book.ts'
import type { Action, Situation } from './decide.ts'
import { countedAt, RESTARTS_MAX } from '../process/restarts.ts'
import type { EngineProcess } from './machine.ts'
import type { Plan } from './plan.ts'

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
      return `it ended more than ${RESTARTS_MAX} times within an hour and stays down. Mend what its log tells, then send the gate SIGHUP (or change GENGATE_${name.toUpperCase()}_RUN): it starts again.`
    case 'blocked':
      return blockedBy
    case 'asleep':
      return 'it starts when a request needs it'
    case 'starting':
    case 'backing_off':
      return alike < 2
        ? ''
        : `it ended ${alike} times in a row in the same way, before it generated anything: another start will hardly help. \`gengate status --verbose\` shows its last words and what to do`
    case 'stopped':
    case 'running':
    case 'draining':
    case 'ending':
      return ''
  }
}

/** What an owner knows besides its situation. */
export interface OwnStory {
  readonly name: string
  readonly plan: Plan
  readonly process: EngineProcess | null
  /** When the process came into the state that it is in. */
  readonly since: number
  readonly book: Book
}

/** An owned process for people and programs. Pure. */
export function statusOf(now: Situation, own: OwnStory): ProcessStatus {
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

/** Milliseconds as people say them. Pure. */
export function spoken(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`
}
