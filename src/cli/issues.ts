import type { ConfigIssue } from '../config/config.ts'
import { printIssue } from '../config/print.ts'

/** Everything that is wrong with the configuration, one line each, then what to do. Pure. */
export function issueLines(issues: readonly ConfigIssue[], envFile: string | null): string[] {
  const many = issues.length === 1 ? 'one setting is' : `${issues.length} settings are`
  const file = envFile === null ? 'the environment' : `the environment or ${envFile}`
  return [
    `gengate: ${many} not valid:`,
    ...issues.map((issue) => `  ${printIssue(issue)}`),
    `Correct ${file}, then try \`gengate config check\`.`,
  ]
}
