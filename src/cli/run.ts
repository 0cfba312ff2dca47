import type { Config } from '../config/config.ts'
import { watchEnvFile } from '../config/watch.ts'
import { targetOfClients, targetOfGate, targetOfUrl, targetsOfNames } from './probe-targets.ts'
import { configCheck, configPrint } from './config-commands.ts'
import { diag } from './diag.ts'
import { doctor } from './doctor.ts'
import { type CliIo, EXIT } from './io.ts'
import { issueLines } from './issues.ts'
import { load } from './load.ts'
import { findHolder } from './port-holder.ts'
import { probe, type ProbeOnce } from './probe.ts'
import { probeOnce } from './probe-once.ts'
import { type ConfigFlags, type Handlers, runProgram } from './program.ts'
import { serve, type ServeDeps } from './serve.ts'
import { showStatus } from './status.ts'

/** What the command line needs of the process around it. */
export interface RunDeps extends Pick<ServeDeps, 'createGate' | 'onSignal' | 'exit'> {
  readonly io: CliIo
  readonly version: string
  readonly nodeVersion: string
  readonly execPath: string
}

/** Runs one command line, without the program's name. Resolves with the exit code. */
export function run(argv: readonly string[], deps: RunDeps): Promise<number> {
  return runProgram(argv, handlersOf(deps), deps)
}

function handlersOf(deps: RunDeps): Handlers {
  const { io } = deps
  const once: ProbeOnce = (target, timeoutMs) => probeOnce(target, timeoutMs, io.clock)
  return {
    serve: (flags) =>
      serve({
        ...deps,
        load: () => load(io, flags),
        watch: (path, onChange) => watchEnvFile({ path, clock: io.clock, onChange }),
        findHolder: (host, port) => findHolder(host, port, io.clock),
      }),
    probe(names, { url, timeout, json, ...flags }) {
      const options = { json: json === true, timeoutMs: timeout * 1_000 }
      const ask = (wanted: Parameters<typeof probe>[0]): Promise<number> =>
        probe(wanted, options, { io, probeOnce: once })
      if (url !== undefined && names.length > 0) {
        return ask({ ok: false, message: 'name upstreams, or give --url, not both.' })
      }
      if (url !== undefined) return ask(targetOfUrl(url))
      const clients = names.length > 0 ? null : targetOfClients(io.env)
      if (clients !== null) return ask(clients)
      return withConfig(io, flags, (config) =>
        ask(names.length > 0 ? targetsOfNames(names, config) : targetOfGate(config)),
      )
    },
    diag: (flags) =>
      withConfig(io, flags, (config) =>
        diag(config, {
          io,
          probeOnce: once,
          clients: targetOfClients(io.env) ?? targetOfGate(config),
        }),
      ),
    status: ({ json, ...flags }) =>
      withConfig(io, flags, (config) => showStatus(config, { json: json === true }, io)),
    doctor({ json, ...flags }) {
      return doctor({ json: json === true }, { ...deps, ...load(io, flags) })
    },
    async configCheck({ json, ...flags }) {
      return configCheck({ json: json === true }, { io, ...load(io, flags) })
    },
    async configPrint({ json, ...flags }) {
      return configPrint({ json: json === true }, { io, ...load(io, flags) })
    },
  }
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
