import type { CommandLine } from '../config/command-line.ts'
import { originOf } from '../launch/address.ts'
import { envChanges } from '../launch/child.ts'
import type { StartLine } from '../launch/start-line.ts'
import type { Loaded } from './load.ts'
import { announce } from './run-engine.ts'
import type { RunGateDeps } from './run-gate.ts'
import { serve } from './serve.ts'

/**
 * Runs the gate, and the engine as one that the gate owns: it starts it, and starts it again when it
 * is dead or wedged (`docs/supervisor.md`). Resolves with the gate's exit code.
 */
export function runHealed(line: StartLine, deps: Omit<RunGateDeps, 'streams'>): Promise<number> {
  announce(line, deps.io)
  const place = { name: line.engine, url: originOf(line) }
  const { command, args } = line
  const run = { command, args, env: envChanges(line, deps.io.env) }
  return serve({ ...deps, load: () => owning(deps.load(place), line.engine, run) })
}

/** The configuration in which the gate owns this engine. A `_RUN` of the operator's own stays. */
function owning(loaded: Loaded, name: string, run: CommandLine): Loaded {
  const { result } = loaded
  if (!result.ok) return loaded
  const upstreams = result.config.upstreams.map((one) =>
    one.spec.name === name && one.run === null ? { ...one, run } : one,
  )
  return { ...loaded, result: { ...result, config: { ...result.config, upstreams } } }
}
