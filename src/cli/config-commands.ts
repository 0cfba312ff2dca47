import { configToJson, printConfig } from '../config/print.ts'
import { type CliIo, EXIT, printJson } from './io.ts'
import { issueLines } from './issues.ts'
import type { Loaded } from './load.ts'
import { programsOf, runNotes } from './run-notes.ts'

/** What the `config` commands need of their surroundings. */
export interface ConfigDeps extends Loaded {
  readonly io: CliIo
}

/** Says whether the configuration is valid. Exit 0, or 2. */
export function configCheck(options: { readonly json: boolean }, deps: ConfigDeps): number {
  const { io, result } = deps
  if (options.json) {
    printJson(io, result.ok ? { ok: true, issues: [] } : { ok: false, issues: result.issues })
  } else if (result.ok) {
    const names = result.config.upstreams.map(({ spec }) => spec.name).join(', ')
    io.out(`valid: ${names === '' ? 'no upstream' : names}, on port ${result.config.port}`)
    for (const name of result.config.shadowed) {
      io.err(`${name} in ${deps.envFile} has no effect: the environment sets it too.`)
    }
    for (const note of runNotes(result.config, programsOf(io))) io.err(`note: ${note}`)
  } else {
    for (const line of issueLines(result.issues, deps.envFile)) io.err(line)
  }
  return result.ok ? EXIT.ok : EXIT.usage
}

/** Prints every setting with its value and source; secrets show as `(set)`. Exit 0, or 2. */
export function configPrint(options: { readonly json: boolean }, deps: ConfigDeps): number {
  const { io, result } = deps
  if (!result.ok) return configCheck(options, deps)
  const { config } = result
  if (options.json) {
    printJson(io, configToJson(config))
  } else {
    for (const line of printConfig(config)) io.out(line)
  }
  return EXIT.ok
}
