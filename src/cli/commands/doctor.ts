import { configNotes } from '../../config/notes.ts'
import { lookup } from 'node:dns/promises'
import type { Config } from '../../config/load.ts'
import { printIssue } from '../../config/print.ts'
import { generates, idsOf } from '../../core/model/model-choice.ts'
import { engineByOwner } from '../../engines/index.ts'
import { portProblem } from '../../process/port.ts'
import { leadsTo, originOf } from '../../runtime/address.ts'
import { type CommandSpec, ENV_FILE, type JsonFlags, type World } from '../command.ts'
import {
  anyUpstreamCheck,
  type Check,
  check,
  checkLine,
  clientUrlCheck,
  embeddedCheck,
  gateCheck,
  gateUpstreamChecks,
  localhostCheck,
  nodeCheck,
  proxyCheck,
  upstreamCheck,
  type UpstreamLook,
} from '../doctor-checks.ts'
import { ask, askGate, type GateAnswer, listedIn, ownerOf, ownGate } from '../gate-client.ts'
import { type CliIo, EXIT, paint, printJson } from '../io.ts'
import { load, type Loaded, programsOf } from '../load.ts'
import { describeHolder, describeProcess, findHolder, identify } from '../port-holder.ts'

export const doctor: CommandSpec = {
  name: 'doctor',
  summary: 'look for what could be wrong around the gate',
  examples: `Examples:
  gengate doctor
  gengate doctor --json`,
  options: [ENV_FILE, { flags: '--json', summary: 'print the checks as JSON' }],
  run: examine,
}

const MODELS_LIMIT_MS = 2_000

/** Looks at everything around the gate, changes nothing. Exit 1 when something must be mended. */
async function examine(_args: readonly [], flags: JsonFlags, world: World): Promise<number> {
  const { io } = world
  const checks = await allChecks({ ...world, ...load(io, flags) })
  const failed = checks.some(({ level }) => level === 'fail')
  if (flags.json === true) printJson(io, { ok: !failed, checks })
  else for (const one of checks) io.out(coloured(io, one))
  return failed ? EXIT.failed : EXIT.ok
}

async function allChecks(deps: World & Loaded): Promise<Check[]> {
  const { io, result, envFile } = deps
  const first = [nodeCheck(deps.nodeVersion, deps.execPath), proxyCheck(io.env)]
  if (!result.ok) {
    return [...first, ...result.issues.map((issue) => check('fail', printIssue(issue)))]
  }
  const { config } = result
  const answer = await askGate(ownGate(config), io)
  const [port, upstreams, addresses] = await Promise.all([
    portCheck(config, answer, io),
    answer.kind === 'status' ? gateUpstreamChecks(answer.status) : lookedAt(config, io),
    lookup('localhost', { all: true, order: 'verbatim' }).catch(() => []),
  ])
  return [
    ...first,
    fileCheck(envFile, config),
    port,
    clientUrlCheck(io.env, config),
    localhostCheck(
      addresses.map(({ address }) => address),
      config.host,
    ),
    ...upstreams,
    ...notesOf(config, io),
    embeddedCheck(llamaInstalled(), config.embedded.mode),
  ]
}

/** What `config check` notes; what the environment overrides is told with the env file. */
function notesOf(config: Config, io: CliIo): Check[] {
  const notes = configNotes({ ...config, shadowed: [] }, programsOf(io))
  return notes.map((note) => check('warn', note.replace(/\.$/, '')))
}

/** The upstreams as this machine sees them, where no gate tells. */
async function lookedAt(config: Config, io: CliIo): Promise<Check[]> {
  const looks = await Promise.all(config.upstreams.map((one) => look(one, { config, io })))
  const embedded = config.embedded.mode !== 'off' && llamaInstalled()
  return [...looks.map(upstreamCheck), anyUpstreamCheck(looks, embedded)]
}

function fileCheck(envFile: string | null, config: Config): Check {
  if (config.shadowed.length > 0) {
    const what = `${config.shadowed.join(', ')} in ${envFile} has no effect`
    return check('warn', what, 'the environment sets it too and wins: unset it there')
  }
  const file = envFile === null ? 'no env file; settings are valid' : `${envFile} is read and valid`
  return check('ok', file)
}

/** Held by this gate, or free, or held by somebody else? */
async function portCheck(
  { host, port }: Config,
  answer: GateAnswer,
  { clock }: CliIo,
): Promise<Check> {
  if (answer.kind === 'status' || answer.kind === 'unauthorized') {
    const by = describeProcess(await findHolder(host, port, clock))
    return gateCheck(originOf({ host, port }), answer, by)
  }
  const code = await portProblem(host, port, clock)
  if (code === null) return check('ok', `port ${port} on ${host} is free`)
  if (code !== 'EADDRINUSE') return check('fail', `cannot listen on ${host} port ${port} (${code})`)
  const holder = describeHolder(await findHolder(host, port, clock))
  const what = `port ${port} on ${host} is held by ${holder}`
  return check('fail', what, '`gengate serve` prints the ways out')
}

async function look(
  { spec, apiKey, run }: Config['upstreams'][number],
  { config, io }: { readonly config: Config; readonly io: CliIo },
): Promise<UpstreamLook> {
  const { name, url, engine } = spec
  const { clock } = io
  const reply = await ask({ url, apiKey }, '/v1/models', { clock, limitMs: MODELS_LIMIT_MS })
  const own = leadsTo(url, config)
  const listed = listedIn(reply)
  const chats = (listed ?? []).filter(generates)
  const plain = engine === 'openai' && spec.model === null && spec.swaps === 'auto'
  return {
    name,
    url,
    status: reply.status,
    errorCode: reply.errorCode,
    models: idsOf(listed),
    undecided: plain && chats.length > 1 && ownerOf(listed) !== 'gengate',
    answersAs: engineByOwner(engine, ownerOf(listed)),
    run: run !== null,
    loops: own && (reply.errorCode !== null || (await identify(url, clock)).kind === 'gengate'),
  }
}

/** Can the embedded engine's package be found from here? It is not loaded: that takes a while. */
function llamaInstalled(): boolean {
  try {
    return import.meta.resolve('node-llama-cpp') !== ''
  } catch {
    return false
  }
}

function coloured(io: CliIo, seen: Check): string {
  const colour = { ok: 'green', warn: 'yellow', fail: 'red' } as const
  return paint(io, colour[seen.level], seen.level) + checkLine(seen).slice(seen.level.length)
}
