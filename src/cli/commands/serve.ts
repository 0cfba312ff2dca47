import type { AppIo } from '../../app-io.ts'
import type { Config, ConfigResult } from '../../config/config.ts'
import { codeOf } from '../../errors/transport.ts'
import { bannerLines } from '../banner.ts'
import { type CliIo, EXIT } from '../io.ts'
import { issueLines } from '../issues.ts'
import type { Loaded } from '../load.ts'
import { listenAdvice, portAdvice } from '../port-advice.ts'
import type { Holder } from '../port-holder.ts'
import { configNotes, programsOf } from '../config-notes.ts'
import { type StopSignal, stopStep } from '../stop-signals.ts'

/** The running gate, as far as the command line drives it; `src/app.ts` builds it. */
export interface Gate {
  listen(): Promise<{ readonly host: string; readonly port: number }>
  reload(result: ConfigResult): void
  close(options?: { readonly force?: boolean }): Promise<void>
}

/** What `serve` needs of its surroundings. */
export interface ServeDeps {
  readonly io: CliIo
  readonly version: string
  /** Reads the environment, the env file and the flags anew. */
  readonly load: () => Loaded
  /** Calls `onChange` when the file at `path` changed; the returned function stops that. */
  readonly watch: (path: string, onChange: () => void) => () => void
  /** `onDeath` hears of engines of the gate that ended by themselves. */
  readonly createGate: (config: Config, onDeath?: AppIo['onDeath']) => Promise<Gate>
  readonly findHolder: (host: string, port: number) => Promise<Holder>
  /** Calls `run` at each signal of this name, from now to the end of the process. */
  readonly onSignal: (signal: StopSignal | 'SIGHUP' | 'SIGQUIT', run: () => void) => void
  /** Ends the process at once. */
  readonly exit: (code: number) => void
  /** Ends the gate as a signal does, and says why; never where nothing else is to end it. */
  readonly endsWith?: Promise<string>
}

/** Runs the gate until a signal ends it. Resolves with the exit code. */
export async function serve(deps: ServeDeps): Promise<number> {
  const { io } = deps
  const { result, envFile } = deps.load()
  if (!result.ok) {
    for (const line of issueLines(result.issues, envFile)) io.err(line)
    return EXIT.usage
  }
  const gate = await deps.createGate(result.config)
  const stop = stopSignal(deps)
  let file = envFile
  const reload = (): void => {
    if (stop.heard()) return
    const now = deps.load()
    gate.reload(now.envFile === null && file !== null ? goneFile(file) : now.result)
    file ??= now.envFile
  }
  deps.onSignal('SIGHUP', reload)
  const bound = await bind(gate, result.config, deps)
  if (bound === null) return EXIT.failed
  const unwatch = watchFile(result.config, reload, deps)
  for (const line of bannerLines(deps.version, result.config, bound)) io.err(line)
  for (const note of configNotes(result.config, programsOf(io))) io.err(`  note: ${note}`)
  const heard = stop.first.then(
    (signal) => `${signal}, finishing what runs; a second one ends at once`,
  )
  io.err(`gengate: ${await Promise.race([heard, deps.endsWith ?? heard])}.`)
  unwatch()
  const echoed = new Promise<void>((resolve) => io.clock.after(ECHO_MS, resolve))
  await Promise.all([gate.close(), echoed])
  return EXIT.ok
}

/**
 * A gate that ends stays at least this long, ms: one Ctrl-C arrives twice, and the echo that the
 * launcher forwards must find its handler, or it would kill a gate that ends as it should.
 */
const ECHO_MS = 100

/** A file that is moved away for a moment must not reset the gate and end its engines. */
function goneFile(path: string): ConfigResult {
  const message =
    'is gone. Put it back; an empty file in its place, or a restart, means the defaults.'
  return { ok: false, issues: [{ name: path, message }] }
}

/** A file that appears later is seen as well. Stops by the returned function. */
function watchFile({ envFile }: Config, reload: () => void, deps: ServeDeps): () => void {
  return envFile === null ? () => undefined : deps.watch(envFile, reload)
}

/** Binds and returns the port; null: it could not, and everything has been said and closed. */
async function bind(gate: Gate, config: Config, deps: ServeDeps): Promise<number | null> {
  try {
    return (await gate.listen()).port
  } catch (error) {
    const code = codeOf(error)
    if (code === '') throw error
    const lines =
      code === 'EADDRINUSE'
        ? portAdvice(config, await deps.findHolder(config.host, config.port))
        : [listenAdvice(config, code)]
    await gate.close({ force: true })
    for (const line of lines) deps.io.err(line)
    return null
  }
}

/**
 * Listens for stop signals: the first resolves `first`, a true second one ends the process. The
 * handlers stay to the end of the process: without them a late signal would kill it.
 */
function stopSignal(deps: ServeDeps): { first: Promise<StopSignal>; heard: () => boolean } {
  const { promise, resolve } = Promise.withResolvers<StopSignal>()
  let firstAt: number | null = null
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    deps.onSignal(signal, () => {
      const nowMs = deps.io.clock.nowMs()
      const step = stopStep(signal, firstAt, nowMs)
      if (step.kind === 'exit') deps.exit(step.code)
      if (step.kind !== 'drain') return
      firstAt = nowMs
      resolve(signal)
    })
  }
  return { first: promise, heard: () => firstAt !== null }
}
