import { durationText } from '../core/explain.ts'
import { isObject } from '../api/read.ts'
import { type EngineEnding, hintFor } from '../launch/hints.ts'
import { isRunnable } from '../launch/start-line.ts'
import { parseIso } from '../runtime/clock.ts'

/** The process of an engine that the gate owns, as `/gate/status` shows it. */
export interface EngineStatus {
  readonly state: string
  /** ISO times, or null. */
  readonly since: string | null
  readonly pid: number | null
  readonly program: string
  readonly startOnDemand: boolean
  readonly restarts: number
  /** Ends in the last hour that count towards the cap. */
  readonly restartsLastHour: number
  readonly lastEnd: {
    readonly reason: string
    readonly at: string | null
    readonly how: string
  } | null
  readonly nextStartAt: string | null
  readonly log: string | null
  readonly note: string
}

/** Null: the gate does not own the engine, or is too old to tell. Pure. */
export function parseProcess(value: unknown): EngineStatus | null {
  if (!isObject(value)) return null
  const text = (key: string): string | null => {
    const found = value[key]
    return typeof found === 'string' ? found : null
  }
  const count = (key: string): number | null => {
    const found = value[key]
    return typeof found === 'number' ? found : null
  }
  const state = text('state')
  if (state === null) return null
  return {
    state,
    since: text('since'),
    pid: count('pid'),
    program: text('program') ?? '',
    startOnDemand: value['start_on_demand'] === true,
    restarts: count('restarts') ?? 0,
    restartsLastHour: count('restarts_last_hour') ?? 0,
    lastEnd: parseEnd(value['last_end']),
    nextStartAt: text('next_start_at'),
    log: text('log'),
    note: text('note') ?? '',
  }
}

function parseEnd(value: unknown): EngineStatus['lastEnd'] {
  if (!isObject(value)) return null
  const { reason, at, how } = value
  if (typeof reason !== 'string' || typeof how !== 'string') return null
  return { reason, at: typeof at === 'string' ? at : null, how }
}

/** One line for people about an engine that the gate owns. Pure. */
export function processLine(engine: EngineStatus, wallMs: number): string {
  const ago = (iso: string | null): string =>
    iso === null ? 'a while' : durationText(wallMs - parseIso(iso))
  const { lastEnd, pid, program } = engine
  const parts = [
    `engine ${engine.state.replaceAll('_', ' ')} for ${ago(engine.since)}`,
    ...(pid === null ? [] : [`${program}, pid ${pid}`]),
    ...(engine.nextStartAt === null
      ? []
      : [`next start in ${durationText(parseIso(engine.nextStartAt) - wallMs)}`]),
    ...counted(engine.restarts, 'restart', ''),
    ...counted(engine.restartsLastHour, 'failure', ' in the last hour'),
    ...(lastEnd === null
      ? []
      : [`last end ${ago(lastEnd.at)} ago: ${lastEnd.reason} (${lastEnd.how})`]),
    ...(engine.note === '' ? [] : [engine.note]),
  ]
  return parts.join('; ')
}

/** Restarts and failures are two things: an end that the operator wanted is no failure, and the last
 *  failure may have no restart yet. */
function counted(count: number, what: string, when: string): string[] {
  return count === 0 ? [] : [`${count} ${what}${count === 1 ? '' : 's'}${when}`]
}

/** Lines of an engine's output that are shown. */
const TAIL_LINES = 10
const LINE_CHARS_MAX = 200
/** Lines that a hint is looked for in: those of the newest process. */
const HINT_LINES = 50

/**
 * The end of an engine's output, read from its file by the one who asks: it never goes over the wire,
 * since engines print what they were started with. Pure but for `readFile`.
 */
export function tailLines(
  { log, pid, lastEnd }: EngineStatus,
  kind: string,
  readFile: (path: string) => string | null,
): string[] {
  if (log === null) return []
  const text = readFile(log)
  if (text === null) return [`  ${log} cannot be read here`]
  const lines = text.split(/\r?\n|\r/).filter((line) => line.trim() !== '')
  const shown = lines.slice(-TAIL_LINES).map((line) => clean(line).slice(0, LINE_CHARS_MAX))
  const died = pid === null && lastEnd?.reason === 'exited' ? lastEnd.how : null
  const hint = died === null ? null : hintFor(endingOf(died, kind, lines))
  return [
    `  the end of ${log}:`,
    ...shown.map((line) => `  | ${line}`),
    ...(hint === null ? [] : [`  Hint: ${hint}`]),
  ]
}

/** What is known of an end, as the table of hints wants it. `kind`: of the engine. */
function endingOf(how: string, kind: string, lines: readonly string[]): EngineEnding {
  const [, code] = /^exit code (\d+)$/.exec(how) ?? []
  const name = kind === 'vllm' ? 'vllm_cpu' : kind
  return {
    engine: isRunnable(name) ? name : null,
    code: code === undefined ? null : Number(code),
    signal: how.startsWith('SIG') ? how : null,
    lines: lines.slice(-HINT_LINES),
  }
}

/** An engine's colours and cursor movements stay out of our terminal. */
function clean(line: string): string {
  // oxlint-disable-next-line no-control-regex -- that is what is to be removed
  return line.replaceAll(/\u001B\[[\d;?]*[A-Za-z]/g, '').replaceAll(/\p{Cc}/gu, ' ')
}
