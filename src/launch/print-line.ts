import { withoutSecrets } from './flags.ts'
import type { StartLine } from './start-line.ts'

/** Words that a POSIX shell reads as they are; `~` and `=` are not among them at the start. */
const PLAIN = /^[\w@%+:,./-][\w@%+=:,./-]*$/

/** One word for a shell. Pure. */
export function shellWord(text: string): string {
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

/**
 * The command line that does the same from a shell, on one line: variables, program, arguments.
 * Values of flags that hold a secret are replaced. Of
 * the variables to unset those are told that `isSet` knows. Pure.
 */
export function printLine(line: StartLine, isSet: (name: string) => boolean): string {
  const path = line.pathFirst === null ? [] : [`PATH=${shellWord(line.pathFirst)}:"$PATH"`]
  const variables = Object.entries(line.env).map(([name, value]) => `${name}=${shellWord(value)}`)
  const unset = line.unset.filter(isSet).flatMap((name) => ['-u', name])
  const all = [...path, ...variables]
  const before = unset.length > 0 || all.length > 0 ? ['env', ...unset, ...all] : []
  return [...before, ...[line.command, ...withoutSecrets(line.args)].map(shellWord)].join(' ')
}
