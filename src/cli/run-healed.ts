import { constants } from 'node:os'
import type { AppIo } from '../app-io.ts'
import type { CommandLine } from '../config/command-line.ts'
import { originOf } from '../runtime/address.ts'
import { envChanges } from '../launch/child.ts'
import type { StartLine } from '../launch/start-line.ts'
import { EXIT } from './io.ts'
import type { Loaded } from './load.ts'
import { announce, tellEnd } from './commands/run.ts'
import type { RunGateDeps } from './run-gate.ts'
import { serve } from './commands/serve.ts'

/**
 * Runs the gate, and the engine as one that the gate owns: it starts it, and starts it again when it
 * is dead or wedged (`docs/supervisor.md`). One that dies twice in the same way before it generates
 * anything would do so again: that ends both, with its last words and what to do. Resolves with the gate's
 * exit code, or that of such an engine.
 */
export async function runHealed(
  line: StartLine,
  deps: Omit<RunGateDeps, 'streams'>,
): Promise<number> {
  announce(line, deps.io)
  const place = { name: line.engine, url: originOf(line) }
  const { command, args } = line
  const run = { command, args, env: envChanges(line, deps.io.env) }
  const hopeless = Promise.withResolvers<string>()
  let last: EngineDeath | null = null
  const onDeath = (death: EngineDeath): void => {
    if (death.name !== line.engine || death.alike < ALIKE_MAX) return
    last ??= death
    hopeless.resolve(`${line.engine} ended twice in the same way, so the gate ends`)
  }
  const code = await serve({
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

/** Deaths that are alike, after which another start is none to wait for. */
const ALIKE_MAX = 2
/** Of its last words so many lines are shown: they went to a file. */
const LINES_SHOWN = 10

/** Says how it ended and what to do about it. */
function tellDeath(line: StartLine, { how, lines }: EngineDeath, io: RunGateDeps['io']): number {
  const [, code] = /^exit code (\d+)$/.exec(how) ?? []
  const signal = isSignal(how) ? how : null
  const exitCode = signal === null ? Number(code ?? 127) : EXIT.failed
  for (const text of lines.slice(-LINES_SHOWN)) io.err(`  | ${text}`)
  tellEnd(line.engine, { code: code === undefined ? null : exitCode, signal, exitCode, lines }, io)
  return exitCode === 0 ? EXIT.failed : exitCode
}

function isSignal(how: string): how is NodeJS.Signals {
  return Object.hasOwn(constants.signals, how)
}
