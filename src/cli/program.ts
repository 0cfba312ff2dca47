import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { type Shell, SHELLS } from './commands/completion.ts'
import { commandRows } from './completion-table.ts'
import { EXAMPLES } from './examples.ts'
import type { ConfigFlags, Handlers, JsonFlags, RunFlags } from './handlers.ts'
import { type CliIo, EXIT } from './io.ts'
import { RUNNABLE, type Runnable } from '../launch/start-line.ts'

const ABOUT = `One base URL in front of your local LLM servers: forwards /v1/* to whichever really generates now.`

/** What `gengate` alone means. */
const DEFAULT_COMMAND = 'serve'

/** Parses the command line and runs one handler. Resolves with the exit code: 2 for wrong usage. */
export async function runProgram(
  argv: readonly string[],
  handlers: Handlers,
  { io, version }: { readonly io: CliIo; readonly version: string },
): Promise<number> {
  let code: number = EXIT.ok
  const { words, own } = splitEngineFlags(argv)
  const program = build(handlers, own, (ended) => (code = ended))
  for (const command of [program, ...program.commands, ...program.commands.flatMap(subs)]) {
    command.exitOverride()
    command.configureOutput({
      writeOut: linesTo(io.out),
      writeErr: linesTo(io.err),
      outputError: (text, write) => write(`gengate: ${text.replace(/^error: /, '')}`),
    })
  }
  program.version(version, '-V, --version', 'print the version')
  try {
    await program.parseAsync(withDefault(words), { from: 'user' })
    return code
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  }
}

/** Commander writes whole texts that end in a newline; ours are lines. */
function linesTo(write: (line: string) => void): (text: string) => void {
  return (text) => write(text.replace(/\n$/, ''))
}

/** `serve` is meant where no subcommand is named: with flags only, or with nothing at all. */
function withDefault(argv: readonly string[]): string[] {
  const [first] = argv
  const own = ['-h', '--help', '-V', '--version']
  const named = first !== undefined && (!first.startsWith('-') || own.includes(first))
  return named ? [...argv] : [DEFAULT_COMMAND, ...argv]
}

/** What stands after `--` belongs to the engine that `run` starts, whatever it looks like. */
function splitEngineFlags(argv: readonly string[]): {
  words: readonly string[]
  own: readonly string[]
} {
  const at = argv[0] === 'run' ? argv.indexOf('--') : -1
  return at < 0 ? { words: argv, own: [] } : { words: argv.slice(0, at), own: argv.slice(at + 1) }
}

function build(handlers: Handlers, own: readonly string[], ended: (code: number) => void): Command {
  const program = new Command('gengate')
    .description(`${ABOUT}\n\n${EXAMPLES.gengate}`)
    .addHelpText(
      'after',
      '\nWithout a command, `gengate` is `gengate serve`.\nExit codes: 0 it works, 1 it does not, 2 wrong usage or settings.',
    )
  addConfigured(program, DEFAULT_COMMAND, 'run the gate')
    .option('--upstream <[name=]url>', 'an LLM server, best first (repeatable)', collect)
    .action(async (flags: ConfigFlags) => ended(await handlers.serve(flags)))
  addRun(program, (engine, flags) => handlers.run(engine, own, flags), ended)
  addQuestions(program, handlers, ended)
  addConfigured(program, 'doctor', 'look for what could be wrong around the gate')
    .option('--json', 'print the checks as JSON')
    .action(async (flags: JsonFlags) => ended(await handlers.doctor(flags)))
  const config = add(program, 'config', 'check or print the configuration')
  addConfigured(config, 'check', 'say whether the configuration is valid')
    .option('--json', 'print the issues as JSON')
    .action(async (flags: JsonFlags) => ended(await handlers.configCheck(flags)))
  addConfigured(config, 'print', 'print every setting and where it comes from; secrets are hidden')
    .option('--json', 'print the settings as JSON')
    .action(async (flags: JsonFlags) => ended(await handlers.configPrint(flags)))
  add(program, 'completion', 'print a script that completes command lines')
    .addArgument(new Argument('<shell>', 'the shell that it is for').choices(SHELLS))
    .action(async (shell: Shell) =>
      ended(await handlers.completion(shell, commandRows(program, DEFAULT_COMMAND))),
    )
  return program
}

function addRun(
  program: Command,
  start: (engine: Runnable | undefined, flags: RunFlags) => Promise<number>,
  ended: (code: number) => void,
): void {
  addConfigured(program, 'run', 'start an engine where the gate looks for it')
    .usage('[options] [engine] [-- flags of the engine]')
    .addArgument(new Argument('[engine]', 'what to start').choices(RUNNABLE))
    .option('--gate', 'run the gate in front of it, too')
    .option('--heal', 'the same, and start it again when it is dead or wedged')
    .option('--dry-run', 'print the command line, start nothing')
    .addOption(
      new Option('--json', 'print it as JSON; implies --dry-run').implies({ dryRun: true }),
    )
    .action(async (engine: Runnable | undefined, flags: RunFlags) =>
      ended(await start(engine, flags)),
    )
}

/** The subcommands that ask the gate, or the servers behind it. */
function addQuestions(program: Command, handlers: Handlers, ended: (code: number) => void): void {
  addWatched(program, 'probe', 'make servers generate one token, and say whether they did')
    .argument('[name...]', 'configured upstreams; none: what clients use')
    .option('--url <url>', 'ask this server instead')
    .option('--timeout <seconds>', 'how long a generation may take', seconds(0), 5)
    .option('--json', 'print the status artefact')
    .action(async (names: string[], flags: Parameters<Handlers['probe']>[1]) =>
      ended(await handlers.probe(names, flags)),
    )
  addConfigured(program, 'diag', 'print the diagnosis that scripts read; no secrets').action(
    async (flags: ConfigFlags) => ended(await handlers.diag(flags)),
  )
  addWatched(program, 'status', 'show what the running gate knows of its upstreams')
    .option('--json', 'print the document of /gate/status')
    .option(
      '--verbose',
      'show also what a request without a model means, and the last words of owned engines',
    )
    .action(async (flags: Parameters<Handlers['status']>[0]) => ended(await handlers.status(flags)))
  addConfigured(program, 'explain', 'say why the next request goes where it goes')
    .argument('[model]', 'as a client would write it; none: a request without a model')
    .option('--json', 'print the decision as JSON')
    .action(async (model: string | undefined, flags: JsonFlags) =>
      ended(await handlers.explain(model, flags)),
    )
  addConfigured(program, 'wait', 'wait until the gate can serve')
    .option('--timeout <seconds>', 'give up after this long', seconds(0), 180)
    .option('--model <name>', 'wait until this model can be served')
    .action(async (flags: Parameters<Handlers['wait']>[0]) => ended(await handlers.wait(flags)))
}

/** A subcommand, with its examples before everything else. */
function add(parent: Command, name: keyof typeof EXAMPLES, summary: string): Command {
  const sentence = `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`
  return parent.command(name).summary(summary).description(`${sentence}\n\n${EXAMPLES[name]}`)
}

/**
 * One that reads the configuration. The launcher keeps Node from taking `--env-file` for its own; who
 * starts it by `node bin/gengate.cjs` has Node looking for that file first, and Node ends with 9 where
 * it is missing (seen with 20.20 and 26.10). The other spelling is gengate's alone.
 */
function addConfigured(parent: Command, name: keyof typeof EXAMPLES, summary: string): Command {
  return add(parent, name, summary).option(
    '--envfile, --env-file <path>',
    'read settings from this file, not from .env',
  )
}

/** One that can be watched; who names an interval means that. */
function addWatched(parent: Command, name: keyof typeof EXAMPLES, summary: string): Command {
  return addConfigured(parent, name, summary)
    .option('--watch', 'look again and again, until Ctrl-C')
    .addOption(
      new Option('--interval <seconds>', 'pause between two looks; implies --watch')
        .argParser(seconds(INTERVAL_S_MIN))
        .default(2)
        .implies({ watch: true }),
    )
}

/** Each look of `probe` is a generation: not more often than this. */
const INTERVAL_S_MIN = 0.5

function subs(command: Command): readonly Command[] {
  return command.commands
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

/** Seconds up to an hour, fractions allowed; `min` itself is allowed when it is above 0. */
function seconds(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    const inRange = value > 0 && value >= min && value <= 3_600
    if (text.trim() !== '' && inRange) return value
    const from = min > 0 ? `at least ${min}` : 'above 0'
    throw new InvalidArgumentError(`It must be a number of seconds ${from}, at most 3600.`)
  }
}
