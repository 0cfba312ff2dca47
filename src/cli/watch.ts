import { isoTime, sleep } from '../runtime/clock.ts'
import { type CliIo, printJson } from './io.ts'

/** One look at something that may change: what to print, and how the command would end. */
export interface Look {
  readonly code: number
  /** For people, to stdout. */
  readonly lines: readonly string[]
  /** Why there is nothing to show, to stderr. */
  readonly problems: readonly string[]
  /** For `--json`; undefined: there is none. */
  readonly document: unknown
  /** What must differ for a later look to be news: everything but ages, latencies and load. */
  readonly key: string
}

/** Prints one look, and returns the exit code that it means. */
export function printLook(
  look: Look,
  { json }: { readonly json?: boolean | undefined },
  io: Pick<CliIo, 'out' | 'err'>,
): number {
  for (const line of look.problems) io.err(line)
  if (json !== true) for (const line of look.lines) io.out(line)
  else if (look.document !== undefined) printJson(io, look.document)
  return look.code
}

/** Looks once; `stopped` gives it up. */
export type LookOnce = (stopped?: AbortSignal) => Promise<Look>

export interface WatchOptions {
  /** From the end of one look to the next, ms. */
  readonly intervalMs: number
  readonly json: boolean
}

interface WatchDeps {
  readonly io: Pick<CliIo, 'out' | 'err' | 'clock'>
  /** Is stdout a terminal on which the cursor moves? */
  readonly redraw: boolean
  /** Aborts when the operator has seen enough. */
  readonly stopped: AbortSignal
}

/**
 * Looks again and again until `stopped`, one look at a time. On a terminal each look takes the
 * place of the one before; elsewhere a look is printed when it is news; as JSON each is one line.
 * Resolves with the last look that was complete; null: there was none.
 */
export async function watch(
  lookOnce: LookOnce,
  { intervalMs, json }: WatchOptions,
  { io, redraw, stopped }: WatchDeps,
): Promise<Look | null> {
  let last: Look | null = null
  while (!stopped.aborted) {
    const look = await lookOnce(stopped)
    // What was interrupted says nothing.
    if (stopped.aborted) break
    const news = look.key !== last?.key
    if (json) printJsonLine(look, news, io)
    else if (redraw) {
      const foot = `Every ${intervalMs / 1000} s, last at ${timeOf(io)} UTC. Ctrl-C ends.`
      io.out(frame([...look.problems, ...look.lines, '', foot], last === null))
    } else if (news) {
      const head = look.lines.length > 0 ? io.out : io.err
      head(`# ${isoTime(io.clock.wallMs())}`)
      for (const line of look.problems) io.err(line)
      for (const line of look.lines) io.out(line)
    }
    last = look
    await sleep(io.clock, intervalMs, stopped)
  }
  return last
}

/** A sampling of documents; a problem is told once, not at every look. */
function printJsonLine({ document, problems }: Look, news: boolean, io: WatchDeps['io']): void {
  if (document !== undefined) io.out(JSON.stringify(document))
  if (news) for (const line of problems) io.err(line)
}

const HOME = '\u001B[H'
const CLEAR_ALL = '\u001B[2J'
const CLEAR_REST_OF_LINE = '\u001B[K'
const CLEAR_BELOW = '\u001B[J'

/**
 * The text that puts these lines at the top of the terminal, in one write. Only the first clears
 * the screen: later ones write over the old lines, which does not flicker. Pure.
 */
export function frame(lines: readonly string[], first: boolean): string {
  const body = lines.map((line) => line + CLEAR_REST_OF_LINE).join('\n')
  return `${first ? CLEAR_ALL : ''}${HOME}${body}${CLEAR_BELOW}`
}

function timeOf({ clock }: Pick<CliIo, 'clock'>): string {
  return isoTime(clock.wallMs()).slice(11, 19)
}
