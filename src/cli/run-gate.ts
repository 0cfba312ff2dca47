import { originOf } from '../runtime/address.ts'
import { type ChildDeps, type RunningEngine, startEngine } from '../launch/child.ts'
import type { StartLine } from '../launch/start-line.ts'
import type { Gate, ServeDeps } from './commands/serve.ts'
import { serve } from './commands/serve.ts'
import { announce, tellEnd } from './commands/run.ts'

/** What the pair of gate and engine needs. */
export interface RunGateDeps extends Omit<ServeDeps, 'load' | 'endsWith'> {
  /** Reads the configuration anew, with this upstream first. */
  readonly load: (first: {
    readonly name: string
    readonly url: string
  }) => ReturnType<ServeDeps['load']>
  readonly streams: Pick<ChildDeps, 'stdout' | 'stderr'>
}

/** 128 + SIGQUIT: what a shell tells of a program that this signal ended. */
const QUIT_CODE = 131

/**
 * Runs the gate and, once it listens, the engine behind it; either of them ends both. The gate ends
 * first, so that running answers finish. Resolves with the engine's exit code if it ended by itself,
 * else with the gate's.
 */
export async function runWithGate(line: StartLine, deps: RunGateDeps): Promise<number> {
  const { io, streams } = deps
  const gone = Promise.withResolvers<string>()
  let engine: RunningEngine | null = null
  const start = (): void => {
    announce(line, io)
    // Their output goes to stdout: stderr is the log of the gate.
    engine = startEngine(line, {
      env: io.env,
      clock: io.clock,
      stdout: streams.stdout,
      stderr: streams.stdout,
    })
    void engine.ended.then(() => gone.resolve(`${line.engine} ended, so the gate ends`))
  }
  deps.onSignal('SIGQUIT', () => deps.exit(QUIT_CODE))
  const place = { name: line.engine, url: originOf(line) }
  let byItself = false
  void gone.promise.then(() => (byItself = true))
  const code = await serve({
    ...deps,
    load: () => deps.load(place),
    createGate: async (config) => whenListening(await deps.createGate(config), start),
    endsWith: gone.promise,
  })
  return end(line, { engine, byItself, code, io })
}

/** The same gate, which calls `then` when its listener is bound. */
function whenListening(gate: Gate, then: () => void): Gate {
  return {
    async listen() {
      const bound = await gate.listen()
      then()
      return bound
    },
    reload: (result) => gate.reload(result),
    close: (options) => gate.close(options),
  }
}

async function end(
  line: StartLine,
  {
    engine,
    byItself,
    code,
    io,
  }: {
    readonly engine: RunningEngine | null
    readonly byItself: boolean
    readonly code: number
    readonly io: RunGateDeps['io']
  },
): Promise<number> {
  if (engine === null) return code
  if (!byItself) engine.stop('SIGTERM')
  const ended = await engine.ended
  if (byItself) tellEnd(line.engine, ended, io)
  return byItself ? ended.exitCode : code
}
