import { configToJson, printConfig } from '../../config/print.ts'
import { type CliIo, EXIT, printJson } from '../io.ts'
import { issueLines } from '../issues.ts'
import type { Loaded } from '../load.ts'
import { choiceNotes, configNotes, programsOf } from '../config-notes.ts'

/** What the `config` commands need of their surroundings. */
export interface ConfigDeps extends Loaded {
  readonly io: CliIo
}

/** Says whether the configuration is valid. Exit 0, or 2. */
export function configCheck(options: { readonly json: boolean }, deps: ConfigDeps): number {
  const { io, result } = deps
  if (!result.ok) {
    const { issues } = result
    if (options.json) printJson(io, { ok: false, issues, notes: [] })
    else for (const line of issueLines(issues, deps.envFile)) io.err(line)
    return EXIT.usage
  }
  const { config } = result
  const upstreams = config.upstreams.map(({ spec }) => spec.name)
  const notes = [...configNotes(config, programsOf(io)), ...choiceNotes(config)]
  if (options.json) {
    printJson(io, { ok: true, issues: [], notes, upstreams, port: config.port })
  } else {
    const names = upstreams.length === 0 ? 'no upstream' : upstreams.join(', ')
    io.out(`valid: ${names}, on port ${config.port}`)
    for (const note of notes) io.err(`note: ${note}`)
  }
  return EXIT.ok
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
