import type { Config, ConfigResult } from '../../config/load.ts'
import { didYouMean } from '../../config/known.ts'
import { urlName } from '../../launch/address.ts'
import { metalIssue, thisMachine } from '../../launch/preflight.ts'
import {
  isRunnable,
  printLine,
  RUNNABLE,
  type Runnable,
  type StartLine,
  withoutSecrets,
} from '../../launch/start-line.ts'
import { startEngine, startLine } from '../../launch/start.ts'
import { portProblem } from '../../process/port.ts'
import { originOf, reachable, reaches } from '../../runtime/address.ts'
import { type CommandSpec, ENV_FILE, type JsonFlags, onStop, type World } from '../command.ts'
import { type CliIo, EXIT, printJson } from '../io.ts'
import { backendOf, load, type Loaded, tellIssues } from '../load.ts'
import { enginePortAdvice, listenAdvice } from '../port-holder.ts'
import { announce, runHealed, runWithGate, tellEnd } from '../run-gate.ts'
import { type GateWorld, gateWorldOf } from './serve.ts'

interface RunFlags extends JsonFlags {
  readonly dryRun?: true
  readonly gate?: true
  /** The gate in front, which owns the engine. */
  readonly heal?: true
}

export const run: CommandSpec = {
  name: 'run',
  summary: 'start an engine where the gate looks for it',
  usage: '[options] [engine] [-- flags of the engine]',
  examples: `Examples:
  gengate run vllm_cpu                    start that engine, on its own port
  gengate run                             LOCAL_LLM_BACKEND, else vllm_cpu
  gengate run ollama --gate               and the gate in front of it
  gengate run ollama --heal               and restart it when dead or wedged
  gengate run vllm_metal --dry-run        only print the command line
  gengate run vllm_cpu -- --max-num-seqs 4
  GENGATE_LLAMACPP_GGUF=~/m.gguf gengate run llamacpp -- -c 4096

What stands after -- are flags of the engine; they replace ours.`,
  args: [{ name: '[engine]', summary: 'what to start', choices: RUNNABLE }],
  options: [
    ENV_FILE,
    { flags: '--gate', summary: 'run the gate in front of it, too' },
    { flags: '--heal', summary: 'the same, and start it again when it is dead or wedged' },
    { flags: '--dry-run', summary: 'print the command line, start nothing' },
    { flags: '--json', summary: 'print it as JSON; implies --dry-run', implies: 'dryRun' },
  ],
  run: runEngine,
}

/** What `gengate run` starts when nobody says. */
const DEFAULT_ENGINE = 'vllm_cpu'

/**
 * Starts one engine in the foreground and stays until it ends. Resolves with its exit code; 1: its
 * port is taken; 2: it cannot be started like this.
 */
async function runEngine(
  [named]: readonly [Runnable?],
  flags: RunFlags,
  world: World,
): Promise<number> {
  const deps = gateWorldOf(world)
  const { io } = deps
  const engine = named ?? chosen(io, flags)
  if (engine === null) return EXIT.usage
  // The engine is listed first, so the variable has nothing left to say. In the env file it stays: by
  // a line there the running gate is flipped to another upstream.
  const own: CliIo = { ...io, env: { ...io.env, LOCAL_LLM_BACKEND: undefined } }
  const { result, envFile } = load(own, flags, { name: engine, url: null })
  if (!result.ok) return tellIssues(io, result.issues, envFile)
  const started = lineOf(engine, flags, { ...world, config: result.config })
  if (!started.ok) return tell(io, started.issue)
  const { line } = started
  if (flags.dryRun === true) return dryRun(line, flags, io)
  const problem = await notReady(line, flags, deps)
  if (problem !== null) return problem
  const loadAnew = (first: { name: string; url: string }): Loaded => load(own, flags, first)
  if (flags.heal === true) return runHealed(line, { ...deps, load: loadAnew, io: own })
  if (flags.gate === true) return runWithGate(line, { ...deps, load: loadAnew })
  announce(line, io)
  io.err(`Does it generate? gengate probe --url ${originOf(line)}`)
  return foreground(line, deps)
}

/** `LOCAL_LLM_BACKEND`, else the default; null: it names nothing that can be started. */
function chosen(io: CliIo, flags: RunFlags): Runnable | null {
  const name = backendOf(io, flags) ?? DEFAULT_ENGINE
  if (isRunnable(name)) return name
  const known = RUNNABLE.join(', ')
  const meant = didYouMean(name, RUNNABLE)
  io.err(`gengate: LOCAL_LLM_BACKEND must be one of ${known}, not "${name}".${meant}`)
  io.err(`Name the engine: gengate run ${DEFAULT_ENGINE}`)
  return null
}

function lineOf(
  engine: Runnable,
  flags: RunFlags,
  { config, io, rest = [] }: Pick<World, 'io' | 'rest'> & { readonly config: Config },
): ReturnType<typeof startLine> {
  const upstream = config.upstreams.find(({ spec }) => spec.name === engine)
  if (upstream === undefined) throw new Error(`${engine} was to be listed first`)
  const { url, model } = upstream.spec
  const started = startLine(engine, {
    settings: config.run,
    upstream: { url, model, gguf: upstream.gguf },
    gatePort: config.port,
    flags: rest,
    machine: thisMachine(io.env),
  })
  if (!started.ok || (flags.gate !== true && flags.heal !== true)) return started
  // The gate that we start is told where the engine is.
  const notes = started.line.notes.filter((note) => !note.includes(urlName(engine)))
  const before = config.upstreams[0]?.spec.name ?? engine
  if (before !== engine) notes.push(`LOCAL_LLM_BACKEND in the env file puts ${before} before it.`)
  return { ok: true, line: { ...started.line, notes } }
}

/** Says what a person has to do. */
function tell(io: CliIo, issue: { readonly what: string; readonly hint: string }): number {
  io.err(`gengate: ${issue.what}`)
  io.err(issue.hint)
  return EXIT.usage
}

function dryRun(line: StartLine, flags: RunFlags, io: CliIo): number {
  if (flags.json === true) printJson(io, { ...line, args: withoutSecrets(line.args) })
  else io.out(printLine(line, (name) => (io.env[name] ?? '') !== ''))
  for (const note of line.notes) io.err(note)
  return EXIT.ok
}

/** Looks at what would make the start fail; null: nothing, else the exit code. */
async function notReady(
  line: StartLine,
  flags: RunFlags,
  { io, findHolder }: GateWorld,
): Promise<number | null> {
  const { host, port, engine } = line
  const code = await portProblem(host, port, io.clock)
  if (code === 'EADDRINUSE') {
    const holder = await findHolder(reachable(host), port)
    const probe = probeArgument(line, load(io, flags).result)
    for (const text of enginePortAdvice(engine, { host, port, probe }, holder)) io.err(text)
    return EXIT.failed
  }
  if (code !== null) {
    io.err(listenAdvice({ host, port }, code).replaceAll(/GENGATE_(HOST|PORT)/g, urlName(engine)))
    return EXIT.failed
  }
  if (engine !== 'vllm_metal') return null
  const issue = await metalIssue(line.command, io.env)
  return issue === null ? null : tell(io, issue)
}

/** How `gengate probe` finds this engine: by name only where an upstream of that name is there. */
function probeArgument(line: StartLine, result: ConfigResult): string {
  const { engine } = line
  const upstreams = result.ok ? result.config.upstreams : []
  const known = upstreams.some(({ spec }) => spec.name === engine && reaches(spec.url, line))
  return known ? engine : `--url ${originOf(line)}`
}

async function foreground(line: StartLine, deps: GateWorld): Promise<number> {
  const { io, streams = process } = deps
  const child = startEngine(line, { env: io.env, clock: io.clock, output: streams })
  let told = false
  let forced: number | null = null
  onStop(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'], deps, {
    first(signal) {
      told = true
      io.err(`gengate: ${signal}, passed on to ${line.engine}; send it again to kill the engine.`)
      child.stop(signal)
    },
    again(code) {
      forced = code
      child.signal('SIGKILL')
    },
  })
  const end = await child.ended
  if (!told) tellEnd(line.engine, end, io)
  return forced ?? end.exitCode
}
