import type { ConfigIssue } from '../config/config.ts'
import { printIssue } from '../config/print.ts'

/** Everything that is wrong with the configuration, one line each, then what to do. Pure. */
export function issueLines(issues: readonly ConfigIssue[], envFile: string | null): string[] {
  const file = envFile === null ? 'the environment' : `the environment or ${envFile}`
  return [
    `gengate: ${countOf(issues)} not valid:`,
    ...issues.map((issue) => `  ${printIssue(issue)}`),
    `Correct ${file}, then try \`gengate config check\`.`,
  ]
}

/** The same as a warning, where a running gate is asked all the same. Pure. */
export function issueWarnings(issues: readonly ConfigIssue[]): string[] {
  return [
    `gengate: warning: ${countOf(issues)} not valid; the gate is asked all the same:`,
    ...issues.map((issue) => `  ${printIssue(issue)}`),
  ]
}

function countOf({ length }: readonly ConfigIssue[]): string {
  return length === 1 ? 'one setting is' : `${length} settings are`
}
