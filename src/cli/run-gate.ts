import type { AppIo } from '../app.ts'
import type { CommandLine } from '../config/command-line.ts'
import { originOf } from '../runtime/address.ts'
import { hintFor } from '../launch/hints.ts'
import { commandOf, printLine, type Runnable, type StartLine } from '../launch/start-line.ts'
import { startEngine } from '../launch/start.ts'
import type { Child, ChildEnd } from '../process/child.ts'
import { type GateWorld, runGate } from './commands/serve.ts'
import { type CliIo, EXIT } from './io.ts'
import type { Loaded } from './load.ts'

/** Says what is started, how, and what to know about it. */
export function announce(line: StartLine, io: Pick<CliIo, 'env' | 'err'>): void {
  io.err(`gengate: starting ${line.engine} on ${line.host} port ${line.port}; Ctrl-C ends it:`)
  io.err(`  ${printLine(line, (name) => (io.env[name] ?? '') !== '')}`)
  for (const note of line.notes) io.err(note)
}

/** Says how an engine ended that nobody told to, and what to do about it. */
export function tellEnd(engine: Runnable, end: ChildEnd, io: Pick<CliIo, 'err'>): void {
  const how = end.signal === null ? `code ${end.exitCode}` : end.signal
  io.err(`gengate: ${engine} ended by itself (${how}).`)
  const hint = hintFor({ engine, ...end })
  if (hint !== null) io.err(`Hint: ${hint}`)
}

/** What the pair of gate and engine needs. */
interface RunGateDeps extends GateWorld {
  /** Reads the configuration anew, with this upstream first. */
  readonly load: (first: { readonly name: string; readonly url: string }) => Loaded
}

/** 128 + SIGQUIT: what a shell tells of a program that this signal ended. */
const QUIT_CODE = 131

/**
 * Runs the gate and, once it listens, the engine behind it; either of them ends both. The gate ends
 * first, so that running answers finish. Resolves with the engine's exit code if it ended by itself,
 * else with the gate's.
 */
export async function runWithGate(line: StartLine, deps: RunGateDeps): Promise<number> {
  const { io, streams = process } = deps
  const gone = Promise.withResolvers<string>()
  let engine: Child | null = null
  const start = (): void => {
    announce(line, io)
    // Their output goes to stdout: stderr is the log of the gate.
    engine = startEngine(line, {
      env: io.env,
      clock: io.clock,
      output: { stdout: streams.stdout, stderr: streams.stdout },
    })
    void engine.ended.then(() => gone.resolve(`${line.engine} ended, so the gate ends`))
  }
  deps.onSignal('SIGQUIT', () => deps.exit(QUIT_CODE))
  const place = { name: line.engine, url: originOf(line) }
  let byItself = false
  void gone.promise.then(() => (byItself = true))
  const code = await runGate({
    ...deps,
    load: () => deps.load(place),
    onBound: start,
    endsWith: gone.promise,
  })
  if (engine === null) return code
  const { stop, ended: whenEnded }: Child = engine
  if (!byItself) stop('SIGTERM')
  const ended = await whenEnded
  if (byItself) tellEnd(line.engine, ended, io)
  return byItself ? ended.exitCode : code
}

/**
 * Runs the gate, and the engine as one that the gate owns: it starts it, and starts it again when it
 * is dead or wedged (`docs/supervisor.md`). One that dies twice in the same way before it generates
 * anything would do so again: that ends both, with its last words and what to do. Resolves with the gate's
 * exit code, or that of such an engine.
 */
export async function runHealed(line: StartLine, deps: RunGateDeps): Promise<number> {
  announce(line, deps.io)
  const place = { name: line.engine, url: originOf(line) }
  const run = commandOf(line, deps.io.env)
  const hopeless = Promise.withResolvers<string>()
  let last: EngineDeath | null = null
  const onDeath = (death: EngineDeath): void => {
    if (death.name !== line.engine || death.alike < ALIKE_MAX) return
    last ??= death
    hopeless.resolve(`${line.engine} ended twice in the same way, so the gate ends`)
  }
  const code = await runGate({
    ...deps,
    load: () => owning(deps.load(place), line.engine, run),
    createGate: (config) => deps.createGate(config, onDeath),
    endsWith: hopeless.promise,
  })
  return last === null ? code : tellDeath(line, last, deps.io)
}

type EngineDeath = Parameters<NonNullable<AppIo['onDeath']>>[0]

/** The configuration in which the gate owns this engine. A `_RUN` of the operator's own stays. */
function owning(loaded: Loaded, name: string, run: CommandLine): Loaded {
  const { result } = loaded
  if (!result.ok) return loaded
  const upstreams = result.config.upstreams.map((one) =>
    one.spec.name === name && one.run === null ? { ...one, run } : one,
  )
  return { ...loaded, result: { ...result, config: { ...result.config, upstreams } } }
}

/** Deaths that are alike, after which waiting for another start is pointless. */
const ALIKE_MAX = 2
/** Of its last words so many lines are shown: they went to a file. */
const LINES_SHOWN = 10

/** Says how it ended and what to do about it. */
function tellDeath({ engine }: StartLine, death: EngineDeath, io: RunGateDeps['io']): number {
  for (const text of death.lines.slice(-LINES_SHOWN)) io.err(`  | ${text}`)
  tellEnd(engine, death, io)
  return death.exitCode === 0 ? EXIT.failed : death.exitCode
}
