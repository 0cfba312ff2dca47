import type { AppIo } from '../app.ts'
import type { Config, ConfigResult } from '../config/load.ts'
import { type CliIo, ownTerminal, type Terminal } from './io.ts'
import { type Askable, askable, type ConfigFlags, load, tellIssues, warnOfIssues } from './load.ts'
import { type Look, type LookOnce, watch } from './watch.ts'

/**
 * One command: what it is called, what it takes, what it says of itself and what it does. The program, its
 * help and the completion scripts follow from the table of these (`commands/index.ts`).
 */
export interface CommandSpec {
  readonly name: string
  /** What it does: the start of a sentence without its full stop. */
  readonly summary: string
  /** What people type: the first thing that `--help` shows. No line is longer than 80 characters. */
  readonly examples: string
  /** In place of the usage that follows from `args` and `options`. */
  readonly usage?: string
  readonly args?: readonly ArgumentSpec[]
  readonly options?: readonly OptionSpec[]
  /** Commands below it, which are named after it. */
  readonly below?: readonly CommandSpec[]
  /**
   * Does it; resolves with the exit code. `args` has a value for each of `args`, undefined where none was
   * written; `flags` has one for each option by its long name in camel case.
   */
  readonly run?: (args: never, flags: never, world: World) => Promise<number> | number
}

/** One argument: `<must>`, `[may]` or `[any...]`. */
export interface ArgumentSpec {
  readonly name: string
  readonly summary: string
  /** The words that it may be; absent: any. */
  readonly choices?: readonly string[]
}

/** One option. */
export interface OptionSpec {
  /** Every spelling, and what follows: `--url <url>`; a value `<path>` is completed as a file. */
  readonly flags: string
  readonly summary: string
  /** What becomes of its value: an item of a list, or seconds; absent: the text as it is. */
  readonly takes?: 'list' | { readonly secondsFrom: number }
  readonly default?: number
  /** A flag that it sets as well. */
  readonly implies?: string
}

/** Signals that are heard. */
type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGQUIT'

/** What a command may touch of the process around it. */
export interface World {
  readonly io: CliIo
  readonly version: string
  readonly nodeVersion: string
  readonly execPath: string
  /** `onDeath` hears of engines of the gate that ended by themselves. */
  readonly createGate: (config: Config, onDeath?: AppIo['onDeath']) => Promise<Gate>
  /** Calls `run` at each signal of this name, from now to the end of the process. */
  readonly onSignal: (signal: Signal, run: () => void) => void
  /** Ends the process at once. */
  readonly exit: (code: number) => void
  /** Who looks; absent: what the descriptors of this process are. */
  readonly terminal?: Terminal
  /** Where the output of an engine goes that is started; absent: where ours goes. */
  readonly streams?: Pick<NodeJS.Process, 'stdout' | 'stderr'>
  /** What stood after `--`; absent: nothing. */
  readonly rest?: readonly string[]
  /** The program, with the table of all commands; absent: nobody asks for it. */
  readonly table?: CommandSpec
}

/** The running gate, as far as the command line drives it; `src/app.ts` builds it. */
export interface Gate {
  listen(): Promise<{ readonly host: string; readonly port: number }>
  reload(result: ConfigResult): void
  close(options?: { readonly force?: boolean }): Promise<void>
}

export interface JsonFlags extends ConfigFlags {
  readonly json?: true
}

/** Flags of what can be watched. */
export interface WatchFlags extends JsonFlags {
  readonly watch?: true
  /** Seconds. */
  readonly interval: number
}

/**
 * The launcher keeps Node from taking `--env-file` for its own; who starts gengate by
 * `node bin/gengate.cjs` has Node looking for that file first, and Node ends with 9 where it is missing
 * (seen with 20.20 and 26.10). The other spelling is gengate's alone.
 */
export const ENV_FILE: OptionSpec = {
  flags: '--envfile, --env-file <path>',
  summary: 'read settings from this file, not from .env',
}

/** Each look of `probe` is a generation: not more often than this. */
const INTERVAL_S_MIN = 0.5

/** Options of what can be watched; who names an interval means that. */
export const WATCH: readonly OptionSpec[] = [
  { flags: '--watch', summary: 'look again and again, until Ctrl-C' },
  {
    flags: '--interval <seconds>',
    summary: 'pause between two looks; implies --watch',
    takes: { secondsFrom: INTERVAL_S_MIN },
    default: 2,
    implies: 'watch',
  },
]

/** Loads the configuration for a command that cannot do without; invalid: says so, exit 2. */
export async function withConfig(
  io: CliIo,
  flags: ConfigFlags,
  command: (config: Config) => Promise<number>,
): Promise<number> {
  const { result, envFile } = load(io, flags)
  return result.ok ? command(result.config) : tellIssues(io, result.issues, envFile)
}

/** The same for a command that asks the running gate: what does not say where that is only warns. */
export function withGate(
  io: CliIo,
  flags: ConfigFlags,
  command: (gate: Askable) => Promise<number>,
): Promise<number> {
  const { result } = load(io, flags)
  const gate = result.ok ? result.config : askable(io, flags, result)
  if (gate === null) return withConfig(io, flags, command)
  if (!result.ok) warnOfIssues(io, result.issues)
  return command(gate)
}

/** Watches until Ctrl-C or its like; resolves with the last look, null: there was none. */
export function watchUntilStopped(
  lookOnce: LookOnce,
  { interval, json }: Pick<WatchFlags, 'interval' | 'json'>,
  { io, onSignal, terminal = ownTerminal() }: Pick<World, 'io' | 'onSignal' | 'terminal'>,
): Promise<Look | null> {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) onSignal(signal, () => stop.abort())
  const options = { json: json === true, intervalMs: interval * 1_000 }
  // Not on a terminal that says it cannot move its cursor.
  const redraw = terminal.stdout && io.env['TERM'] !== 'dumb'
  return watch(lookOnce, options, { io, redraw, stopped: stop.signal })
}

/** A second signal counts only when it comes this much later, ms: one Ctrl-C arrives twice within
 *  4 ms, from the terminal's process group and from the launcher that forwards it. */
const SECOND_SIGNAL_AFTER_MS = 500

/** Hears signals that end something: `first` is called once, `again` at each true further one, with the
 *  exit code that it means: 128 + the number of the signal. */
export function onStop(
  signals: readonly Signal[],
  { io, onSignal }: Pick<World, 'io' | 'onSignal'>,
  { first, again }: { first: (signal: Signal) => void; again: (code: 130 | 143) => void },
): void {
  let firstAt: number | null = null
  for (const signal of signals) {
    onSignal(signal, () => {
      const nowMs = io.clock.nowMs()
      if (firstAt === null) {
        firstAt = nowMs
        first(signal)
      } else if (nowMs - firstAt >= SECOND_SIGNAL_AFTER_MS) again(signal === 'SIGINT' ? 130 : 143)
    })
  }
}
