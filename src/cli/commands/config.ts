import { choiceNotes, configNotes } from '../../config/notes.ts'
import { configToJson, printConfig } from '../../config/print.ts'
import { type CommandSpec, ENV_FILE, type JsonFlags, type World } from '../command.ts'
import { type CliIo, EXIT, printJson } from '../io.ts'
import { load, programsOf, tellIssues } from '../load.ts'

const check: CommandSpec = {
  name: 'check',
  summary: 'say whether the configuration is valid',
  examples: `Examples:
  gengate config check
  gengate config check --envfile ./new.env && mv new.env .env`,
  options: [ENV_FILE, { flags: '--json', summary: 'print the issues as JSON' }],
  run: (_args: readonly [], flags: JsonFlags, { io }: World) => checkConfig(flags, io),
}

const print: CommandSpec = {
  name: 'print',
  summary: 'print every setting and where it comes from; secrets are hidden',
  examples: `Examples:
  gengate config print
  gengate config print | grep -v '# default'`,
  options: [ENV_FILE, { flags: '--json', summary: 'print the settings as JSON' }],
  run(_args: readonly [], flags: JsonFlags, { io }: World) {
    const { result } = load(io, flags)
    if (!result.ok) return checkConfig(flags, io)
    if (flags.json === true) printJson(io, configToJson(result.config))
    else for (const line of printConfig(result.config)) io.out(line)
    return EXIT.ok
  },
}

export const config: CommandSpec = {
  name: 'config',
  summary: 'check or print the configuration',
  examples: `Examples:
  gengate config check
  gengate config print`,
  below: [check, print],
}

/** Says whether the configuration is valid. Exit 0, or 2. */
function checkConfig(flags: JsonFlags, io: CliIo): number {
  const { result, envFile } = load(io, flags)
  if (!result.ok) {
    const { issues } = result
    if (flags.json !== true) return tellIssues(io, issues, envFile)
    printJson(io, { ok: false, issues, notes: [] })
    return EXIT.usage
  }
  const { port, upstreams } = result.config
  const names = upstreams.map(({ spec }) => spec.name)
  const notes = [...configNotes(result.config, programsOf(io)), ...choiceNotes(result.config)]
  if (flags.json === true) {
    printJson(io, { ok: true, issues: [], notes, upstreams: names, port })
  } else {
    io.out(`valid: ${names.length === 0 ? 'no upstream' : names.join(', ')}, on port ${port}`)
    for (const note of notes) io.err(`note: ${note}`)
  }
  return EXIT.ok
}
