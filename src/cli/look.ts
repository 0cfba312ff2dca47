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
  { json }: { readonly json: boolean },
  io: Pick<CliIo, 'out' | 'err'>,
): number {
  for (const line of look.problems) io.err(line)
  if (!json) for (const line of look.lines) io.out(line)
  else if (look.document !== undefined) printJson(io, look.document)
  return look.code
}
