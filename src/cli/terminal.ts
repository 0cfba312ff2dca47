import { isatty } from 'node:tty'
import type { CliIo } from './io.ts'

/** Who looks at the output: a person at a terminal, or a file or program. */
export interface Terminal {
  readonly stdout: boolean
  readonly stderr: boolean
}

/** What the descriptors of this process are. */
export function ownTerminal(): Terminal {
  return { stdout: isatty(1), stderr: isatty(2) }
}

/** Can stdout be redrawn? Not on a terminal that says it cannot move its cursor. Pure. */
export function canRedraw({ stdout }: Terminal, { env }: Pick<CliIo, 'env'>): boolean {
  return stdout && env['TERM'] !== 'dumb'
}
