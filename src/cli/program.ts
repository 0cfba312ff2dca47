import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import type { ArgumentSpec, CommandSpec, OptionSpec, World } from './command.ts'
import { COMMANDS, DEFAULT_COMMAND, PROGRAM } from './commands/index.ts'
import { EXIT } from './io.ts'

/** Does one command; resolves when it has ended. */
type Start = (spec: CommandSpec, args: readonly unknown[], flags: object) => Promise<void>

/**
 * Runs one command line, without the program's name, by the table of commands. Resolves with the exit
 * code: 2 for wrong usage.
 */
export async function run(
  argv: readonly string[],
  world: World,
  commands: readonly CommandSpec[] = COMMANDS,
): Promise<number> {
  let code: number = EXIT.ok
  const { words, rest } = splitEngineFlags(argv)
  const table: CommandSpec = { ...PROGRAM, below: commands }
  const program = built(table, world, async (spec, args, flags) => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- made by the options of this command
    const [given, options] = [args as never, flags as never]
    code = (await spec.run?.(given, options, { ...world, rest, table })) ?? EXIT.ok
  })
  program.version(world.version, '-V, --version', 'print the version').addHelpText('after', AFTER)
  try {
    await program.parseAsync(withDefault(words), { from: 'user' })
    return code
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  }
}

const AFTER =
  '\nWithout a command, `gengate` is `gengate serve`.\nExit codes: 0 it works, 1 it does not, 2 wrong usage or settings.'

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
  rest: readonly string[]
} {
  const at = argv[0] === 'run' ? argv.indexOf('--') : -1
  return at < 0 ? { words: argv, rest: [] } : { words: argv.slice(0, at), rest: argv.slice(at + 1) }
}

/** The command as commander has it, with its examples before everything else, and all below it. */
function built(spec: CommandSpec, world: World, start: Start): Command {
  const { name, summary, examples, usage, args = [], options = [], below = [] } = spec
  const command = new Command(name)
    .summary(summary)
    .description(`${capital(summary)}.\n\n${examples}`)
    .exitOverride()
    .configureOutput({
      writeOut: linesTo(world.io.out),
      writeErr: linesTo(world.io.err),
      outputError: (text, write) => write(`gengate: ${text.replace(/^error: /, '')}`),
    })
  if (usage !== undefined) command.usage(usage)
  for (const argument of args) command.addArgument(argumentOf(argument))
  for (const option of options) command.addOption(optionOf(option))
  for (const one of below) command.addCommand(built(one, world, start))
  if (spec.run !== undefined) {
    command.action(() => start(spec, command.processedArgs, command.opts()))
  }
  return command
}

/** Commander writes whole texts that end in a newline; ours are lines. */
function linesTo(write: (line: string) => void): (text: string) => void {
  return (text) => write(text.replace(/\n$/, ''))
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function argumentOf({ name, summary, choices }: ArgumentSpec): Argument {
  const argument = new Argument(name, summary)
  return choices === undefined ? argument : argument.choices(choices)
}

function optionOf({ flags, summary, takes, default: standard, implies }: OptionSpec): Option {
  const option = new Option(flags, summary)
  if (takes === 'list') option.argParser(collect)
  else if (takes !== undefined) option.argParser(seconds(takes.secondsFrom))
  if (standard !== undefined) option.default(standard)
  return implies === undefined ? option : option.implies({ [implies]: true })
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
