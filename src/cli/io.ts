import { isatty } from 'node:tty'
import type { Clock } from '../runtime/clock.ts'

/** Exit codes of every command (docs/decisions/0022): it works, it does not, usage or settings are
 *  wrong. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const

/** Everything a command may touch of the process, so that tests can stand in for it. */
export interface CliIo {
  readonly env: Readonly<Record<string, string | undefined>>
  /** One line of data, to stdout. */
  readonly out: (line: string) => void
  /** One line for people, to stderr. */
  readonly err: (line: string) => void
  /** May stdout be coloured? Only on a terminal and without `NO_COLOR`. */
  readonly colour: boolean
  readonly clock: Clock
  /** Text of a file; null: it cannot be read. */
  readonly readFile: (path: string) => string | null
  /** Is something there, whether or not it can be read? Absent: nothing that cannot be read is. */
  readonly exists?: (path: string) => boolean
}

const SGR = { red: 31, green: 32, yellow: 33 } as const

/** `text` in a colour where the terminal wants colours. */
export function paint(io: Pick<CliIo, 'colour'>, colour: keyof typeof SGR, text: string): string {
  return io.colour ? `\u001B[${SGR[colour]}m${text}\u001B[39m` : text
}

/** Prints a document as JSON, indented so that a person can read it too. */
export function printJson(io: Pick<CliIo, 'out'>, document: unknown): void {
  io.out(JSON.stringify(document, null, 2))
}

/** Who looks at the output: a person at a terminal, or a file or program. */
export interface Terminal {
  readonly stdout: boolean
  readonly stderr: boolean
}

/** What the descriptors of this process are. */
export function ownTerminal(): Terminal {
  return { stdout: isatty(1), stderr: isatty(2) }
}
