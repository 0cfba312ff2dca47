import type { Config } from '../config/config.ts'
import { watchEnvFile } from '../config/watch.ts'
import { targetOfClients, targetOfGate, targetOfUrl, targetsOfNames } from './probe-targets.ts'
import { completionScript } from './commands/completion.ts'
import { configCheck, configPrint } from './commands/config.ts'
import { diag } from './commands/diag.ts'
import { doctor } from './commands/doctor.ts'
import { showExplanation } from './commands/explain.ts'
import type { ConfigFlags, Handlers } from './handlers.ts'
import { type CliIo, EXIT } from './io.ts'
import { issueLines, issueWarnings } from './issues.ts'
import { type Askable, askable, load } from './load.ts'
import { findHolder } from './port-holder.ts'
import { probe, type ProbeOnce } from './commands/probe.ts'
import { probeOnce } from './probe-once.ts'
import { runProgram } from './program.ts'
import { runEngine, type RunEngineDeps } from './commands/run.ts'
import { runWithGate } from './run-gate.ts'
import { runHealed } from './run-healed.ts'
import { serve, type ServeDeps } from './commands/serve.ts'
import { lookAtStatus, showStatus } from './commands/status.ts'
import { canRedraw, ownTerminal, type Terminal } from './terminal.ts'
import { wait } from './commands/wait.ts'
import { watch } from './watch.ts'

/** What the command line needs of the process around it. */
export interface RunDeps extends Pick<ServeDeps, 'createGate' | 'onSignal' | 'exit'> {
  readonly io: CliIo
  readonly version: string
  readonly nodeVersion: string
  readonly execPath: string
  /** Who looks; absent: what the descriptors of this process are. */
  readonly terminal?: Terminal
  /** Where the output of an engine goes that is started; absent: where ours goes. */
  readonly streams?: RunEngineDeps['streams']
}

/** Runs one command line, without the program's name. Resolves with the exit code. */
export function run(argv: readonly string[], deps: RunDeps): Promise<number> {
  return runProgram(argv, handlersOf(deps), deps)
}

function handlersOf(deps: RunDeps): Handlers {
  const { io, terminal = ownTerminal() } = deps
  const { clock } = io
  const once: ProbeOnce = (target, timeoutMs, signal) =>
    probeOnce(target, timeoutMs, signal === undefined ? { clock } : { clock, signal })
  const stopped = (): AbortSignal => stopSignal(deps)
  const redraw = canRedraw(terminal, io)
  return {
    serve: (flags) => serve({ ...partsOf(deps), load: () => load(io, flags) }),
    run: (engine, own, flags) => startOne({ engine: engine ?? null, own, flags }, deps),
    probe(names, { url, timeout, json, watch: again, interval, ...flags }) {
      const intervalMs = again === true ? interval * 1_000 : null
      const options = { json: json === true, timeoutMs: timeout * 1_000, intervalMs }
      const ask = (wanted: Parameters<typeof probe>[0]): Promise<number> =>
        probe(wanted, options, { io, probeOnce: once, redraw, stopped })
      if (url !== undefined && names.length > 0) {
        return ask({ ok: false, message: 'name upstreams, or give --url, not both.' })
      }
      if (url !== undefined) return ask(targetOfUrl(url))
      const clients = names.length > 0 ? null : targetOfClients(io.env)
      if (clients !== null) return ask(clients)
      if (names.length === 0) return withGate(io, flags, (gate) => ask(targetOfGate(gate)))
      return withConfig(io, flags, (config) => ask(targetsOfNames(names, config)))
    },
    diag: (flags) =>
      withGate(io, flags, (gate) =>
        diag(gate, {
          io,
          probeOnce: once,
          clients: targetOfClients(io.env) ?? targetOfGate(gate),
        }),
      ),
    status: ({ json = false, verbose = false, watch: again, interval, ...flags }) =>
      withGate(io, flags, async (gate) => {
        if (again !== true) return showStatus(gate, { json, verbose }, io)
        const eyes = verbose ? io : { clock }
        const look = (signal: AbortSignal) => lookAtStatus(gate, { ...eyes, signal })
        const options = { json, intervalMs: interval * 1_000 }
        await watch(look, options, { io, redraw, stopped: stopped() })
        return EXIT.ok
      }),
    explain: (model, { json = false, ...flags }) =>
      withGate(io, flags, (gate) => showExplanation(gate, { model: model ?? null, json }, io)),
    wait: ({ timeout, model, ...flags }) =>
      withGate(io, flags, (gate) => {
        const options = { timeoutMs: timeout * 1_000, model: model ?? null }
        return wait(gate, options, { io, verbose: terminal.stderr })
      }),
    doctor({ json, ...flags }) {
      return doctor({ json: json === true }, { ...deps, ...load(io, flags) })
    },
    configCheck: async ({ json, ...flags }) =>
      configCheck({ json: json === true }, { io, ...load(io, flags) }),
    async configPrint({ json, ...flags }) {
      return configPrint({ json: json === true }, { io, ...load(io, flags) })
    },
    completion: async (shell, rows) => {
      io.out(completionScript(shell, rows))
      return EXIT.ok
    },
  }
}

/** `gengate run`, with the gate in front where that is asked for. */
function startOne(wanted: Parameters<typeof runEngine>[0], deps: RunDeps): Promise<number> {
  const { streams = { stdout: process.stdout, stderr: process.stderr } } = deps
  const parts = { ...partsOf(deps), streams }
  return runEngine(wanted, {
    ...parts,
    withGate: (line, io) =>
      runWithGate(line, { ...parts, load: (first) => load(io, wanted.flags, first) }),
    healed: (line, io) =>
      runHealed(line, { ...parts, io, load: (first) => load(io, wanted.flags, first) }),
  })
}

/** What everything that runs the gate needs. */
function partsOf(deps: RunDeps): Omit<ServeDeps, 'load'> {
  const { clock } = deps.io
  return {
    ...deps,
    watch: (path, onChange) => watchEnvFile({ path, clock, onChange }),
    findHolder: (host, port) => findHolder(host, port, clock),
  }
}

/** Aborts at Ctrl-C and its like, from now on: the command then ends by itself. */
function stopSignal({ onSignal }: Pick<RunDeps, 'onSignal'>): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) onSignal(signal, () => stop.abort())
  return stop.signal
}

/** Loads the configuration for a command that cannot do without; invalid: says so, exit 2. */
async function withConfig(
  io: CliIo,
  flags: ConfigFlags,
  command: (config: Config) => Promise<number>,
): Promise<number> {
  const { result, envFile } = load(io, flags)
  if (result.ok) return command(result.config)
  for (const line of issueLines(result.issues, envFile)) io.err(line)
  return EXIT.usage
}

/** The same for a command that asks the running gate: what does not say where that is only warns. */
function withGate(
  io: CliIo,
  flags: ConfigFlags,
  command: (gate: Askable) => Promise<number>,
): Promise<number> {
  const { result } = load(io, flags)
  const gate = result.ok ? result.config : askable(io, flags, result)
  if (gate === null) return withConfig(io, flags, command)
  if (!result.ok) for (const line of issueWarnings(result.issues)) io.err(line)
  return command(gate)
}
