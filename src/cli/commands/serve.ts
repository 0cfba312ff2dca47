import { configNotes } from '../../config/notes.ts'
import type { AppIo } from '../../app.ts'
import type { Config, ConfigResult } from '../../config/load.ts'
import { watchEnvFile } from '../../config/watch.ts'
import { codeOf } from '../../errors/transport.ts'
import { originOf } from '../../runtime/address.ts'
import { systemRandom } from '../../runtime/random.ts'
import { type CommandSpec, ENV_FILE, type Gate, onStop, type World } from '../command.ts'
import { EXIT } from '../io.ts'
import { type ConfigFlags, load, type Loaded, programsOf, tellIssues } from '../load.ts'
import { findHolder, type Holder, listenAdvice, portAdvice } from '../port-holder.ts'

export const serve: CommandSpec = {
  name: 'serve',
  summary: 'run the gate',
  examples: `Examples:
  gengate serve
  gengate serve --upstream http://127.0.0.1:8001
  gengate serve --upstream vllm_cpu=http://127.0.0.1:8001
  GENGATE_PORT=8010 gengate serve --upstream http://127.0.0.1:8000`,
  options: [
    ENV_FILE,
    {
      flags: '--upstream <[name=]url>',
      summary: 'an LLM server, best first (repeatable)',
      takes: 'list',
    },
  ],
  run: (_args: readonly [], flags: ConfigFlags, world: World) =>
    runGate({ ...gateWorldOf(world), load: () => load(world.io, flags) }),
}

/** What every gate takes from this world. */
export interface GateWorld extends Pick<
  World,
  'io' | 'version' | 'createGate' | 'onSignal' | 'exit' | 'streams'
> {
  /** Calls `onChange` when the file at `path` changed; the returned function stops that. */
  readonly watch: (path: string, onChange: () => void) => () => void
  readonly findHolder: (host: string, port: number) => Promise<Holder>
}

/** What one gate needs. */
export interface GateDeps extends GateWorld {
  /** Reads the environment, the env file and the flags anew. */
  readonly load: () => Loaded
  /** Called when the gate listens; absent: nobody waits for that. */
  readonly onBound?: () => void
  /** Resolves with the reason when something else than a signal is to end the gate; absent: nothing is. */
  readonly endsWith?: Promise<string>
}

/** The same of the real world. */
export function gateWorldOf(world: World): GateWorld {
  const { clock } = world.io
  return {
    ...world,
    watch: (path, onChange) => watchEnvFile({ path, clock, onChange }),
    findHolder: (host, port) => findHolder(host, port, clock),
  }
}

/** Runs the gate until a signal ends it. Resolves with the exit code. */
export async function runGate(deps: GateDeps): Promise<number> {
  const { io } = deps
  const { result, envFile } = deps.load()
  if (!result.ok) return tellIssues(io, result.issues, envFile)
  const gate = await deps.createGate(result.config)
  const stopped = Promise.withResolvers<string>()
  let stops = false
  onStop(['SIGINT', 'SIGTERM'], deps, {
    first(signal) {
      stops = true
      stopped.resolve(
        `${signal} received: running requests finish first; send it again to end at once`,
      )
    },
    again: deps.exit,
  })
  let file = envFile
  const reload = (): void => {
    if (stops) return
    const now = deps.load()
    gate.reload(now.envFile === null && file !== null ? goneFile(file) : now.result)
    file ??= now.envFile
  }
  deps.onSignal('SIGHUP', reload)
  const bound = await bind(gate, result.config, deps)
  if (bound === null) return EXIT.failed
  deps.onBound?.()
  // Also a file that appears later.
  const unwatch = deps.watch(result.config.envFile, reload)
  for (const line of bannerLines(deps.version, result.config, bound)) io.err(line)
  for (const note of configNotes(result.config, programsOf(io))) io.err(`  note: ${note}`)
  io.err(`gengate: ${await Promise.race([stopped.promise, deps.endsWith ?? stopped.promise])}.`)
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

/** The result while the env file is missing: one that is moved away for a moment must not reset the gate and
 *  end its engines. */
function goneFile(path: string): ConfigResult {
  const message =
    'is gone, so the settings stay as they are. Put it back; for the defaults, put an empty file there or restart the gate.'
  return { ok: false, issues: [{ name: path, message }] }
}

/** Binds and returns the port; null: it could not bind, has said why and has closed the gate. */
async function bind(gate: Gate, config: Config, deps: GateDeps): Promise<number | null> {
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

/** What `serve` says once it listens: where, to whom it forwards, how to check. Pure. */
function bannerLines(version: string, config: Config, port: number): string[] {
  const origin = originOf({ host: config.host, port })
  const width = Math.max(0, ...config.upstreams.map(({ spec }) => spec.name.length))
  return [
    `gengate ${version} listens on ${origin}/v1 and forwards to the first of these that generates:`,
    ...config.upstreams.map(({ spec }, index) => {
      const intent = spec.intent === 'enabled' ? '' : `, ${spec.intent}`
      return `  ${index + 1}. ${spec.name.padEnd(width)}  ${spec.url} (${spec.engine}${intent})`
    }),
    ...(config.embedded.mode === 'off' ? [] : [`  ${embeddedLine(config.embedded)}`]),
    `  check: gengate status | gengate diag | curl ${origin}/v1/models`,
  ]
}

function embeddedLine(embedded: Exclude<Config['embedded'], { mode: 'off' }>): string {
  return embedded.mode === 'auto'
    ? 'and to the embedded engine, while none of them answers'
    : `and last to the embedded engine, with ${embedded.path}`
}

/** File descriptor of stderr: log lines are diagnostics, stdout is for data. */
const STDERR = 2

/**
 * Builds the gate with its log; its parts are loaded here, by the one command that needs them. `terminal`:
 * is stderr one? Then log lines are for people.
 */
export async function createGate(
  config: Config,
  { io, version, terminal }: Pick<World, 'io' | 'version'> & { readonly terminal: boolean },
  onDeath: AppIo['onDeath'],
): Promise<Gate> {
  const [{ App }, { openLog }] = await Promise.all([
    import('../../app.ts'),
    import('../../telemetry/log.ts'),
  ])
  const { clock, env } = io
  const color = terminal && (env['NO_COLOR'] ?? '') === ''
  const log = openLog({ level: config.logLevel, clock, tty: terminal, color, to: STDERR })
  const app = new App(config, { clock, random: systemRandom, version, log, env, onDeath })
  return {
    listen: () => app.listen(),
    reload: (result) => app.reload(result),
    async close(options) {
      await app.close(options)
      await log.close()
    },
  }
}
