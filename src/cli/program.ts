import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { EXAMPLES } from './examples.ts'
import { type CliIo, EXIT } from './io.ts'

/** Flags that every subcommand which reads the configuration takes. */
export interface ConfigFlags {
  /** `[name=]url`, in order of preference. */
  readonly upstream?: readonly string[]
  readonly envFile?: string
}

/** The subcommands, parsed: each resolves with its exit code. */
export interface Handlers {
  readonly serve: (flags: ConfigFlags) => Promise<number>
  readonly probe: (
    names: readonly string[],
    flags: ConfigFlags & { url?: string; timeout: number; json?: true },
  ) => Promise<number>
  readonly diag: (flags: ConfigFlags) => Promise<number>
  readonly status: (flags: ConfigFlags & { json?: true }) => Promise<number>
  readonly doctor: (flags: ConfigFlags & { json?: true }) => Promise<number>
  readonly configCheck: (flags: ConfigFlags & { json?: true }) => Promise<number>
  readonly configPrint: (flags: ConfigFlags & { json?: true }) => Promise<number>
}

const ABOUT = `One base URL in front of your local LLM servers: forwards /v1/* to whichever really generates now.`

/** Parses the command line and runs one handler. Resolves with the exit code: 2 for wrong usage. */
export async function runProgram(
  argv: readonly string[],
  handlers: Handlers,
  { io, version }: { readonly io: CliIo; readonly version: string },
): Promise<number> {
  let code: number = EXIT.ok
  const program = build(handlers, (ended) => (code = ended))
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
    await program.parseAsync(withDefault(argv), { from: 'user' })
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
  return named ? [...argv] : ['serve', ...argv]
}

function build(handlers: Handlers, ended: (code: number) => void): Command {
  const program = new Command('gengate')
    .description(`${ABOUT}\n\n${EXAMPLES.gengate}`)
    .addHelpText(
      'after',
      '\nWithout a command, `gengate` is `gengate serve`.\nExit codes: 0 it works, 1 it does not, 2 wrong usage or settings.',
    )
  add(program, 'serve', 'run the gate')
    .option('--upstream <[name=]url>', 'an LLM server, best first (repeatable)', collect)
    .action(async (flags: ConfigFlags) => ended(await handlers.serve(flags)))
  add(program, 'probe', 'make servers generate one token, and say whether they did')
    .argument('[name...]', 'configured upstreams; none: what clients use')
    .option('--url <url>', 'ask this server instead')
    .option('--timeout <seconds>', 'how long a generation may take', seconds, 5)
    .option('--json', 'print the status artefact')
    .action(async (names: string[], flags: Parameters<Handlers['probe']>[1]) =>
      ended(await handlers.probe(names, flags)),
    )
  add(program, 'diag', 'print the diagnosis that scripts read; no secrets').action(
    async (flags: ConfigFlags) => ended(await handlers.diag(flags)),
  )
  add(program, 'status', 'show what the running gate knows of its upstreams')
    .option('--json', 'print the document of /gate/status')
    .action(async (flags: JsonFlags) => ended(await handlers.status(flags)))
  add(program, 'doctor', 'look for what could be wrong around the gate')
    .option('--json', 'print the checks as JSON')
    .action(async (flags: JsonFlags) => ended(await handlers.doctor(flags)))
  const config = program
    .command('config')
    .summary('check or print the configuration')
    .description(`Check or print the configuration.\n\n${EXAMPLES.config}`)
  add(config, 'check', 'say whether the configuration is valid')
    .option('--json', 'print the issues as JSON')
    .action(async (flags: JsonFlags) => ended(await handlers.configCheck(flags)))
  add(config, 'print', 'print every setting and where it comes from; secrets are hidden')
    .option('--json', 'print the settings as JSON')
    .action(async (flags: JsonFlags) => ended(await handlers.configPrint(flags)))
  return program
}

type JsonFlags = ConfigFlags & { json?: true }

/**
 * A subcommand that reads the configuration, with its examples before everything else. Node itself
 * looks for `--env-file` among a program's arguments, and ends with 9 where that file is missing
 * (seen with 20.20 and 26.10): hence the other spelling, which the help shows first.
 */
function add(parent: Command, name: keyof typeof EXAMPLES, summary: string): Command {
  const sentence = `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`
  return parent
    .command(name)
    .summary(summary)
    .description(`${sentence}\n\n${EXAMPLES[name]}`)
    .option('--envfile, --env-file <path>', 'read settings from this file, not from .env')
}

function subs(command: Command): readonly Command[] {
  return command.commands
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

/** Seconds up to an hour, fractions allowed. */
function seconds(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value > 0 && value <= 3_600)) {
    throw new InvalidArgumentError('It must be a number of seconds above 0, at most 3600.')
  }
  return value
}
