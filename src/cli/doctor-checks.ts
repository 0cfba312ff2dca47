import type { Config } from '../config/load.ts'
import type { EngineKind } from '../core/upstream.ts'
import { reaches } from '../runtime/address.ts'
import type { GateAnswer } from './gate-client.ts'
import { type GateStatus, servableOf, type UpstreamStatus } from './gate-status.ts'
import { clientTarget } from './targets.ts'

/** One thing that `doctor` looked at. */
export interface Check {
  readonly level: 'ok' | 'warn' | 'fail'
  /** What is so, in one sentence without its full stop. */
  readonly what: string
  /** What to do about it; absent where nothing is to be done. */
  readonly todo?: string
}

/** One line: level, what, what to do. Pure. */
export function checkLine({ level, what, todo }: Check): string {
  return `${level.padEnd(4)}  ${what}${todo === undefined ? '' : ` — ${todo}`}`
}

/** The check with this verdict. Pure. */
export function check(level: Check['level'], what: string, todo?: string): Check {
  return { level, what, ...(todo === undefined ? {} : { todo }) }
}

/** Which Node runs this, and whether it is the bundled one. Pure. */
export function nodeCheck(version: string, execPath: string): Check {
  const bundled = /node_modules[\\/](?:node-linux|node-bin-darwin|node-darwin)-/.test(execPath)
  return check('ok', `Node ${version}${bundled ? ' (bundled)' : ''} runs gengate`)
}

/** Do clients' variables lead to this gate? Pure. */
export function clientUrlCheck(
  env: Readonly<Record<string, string | undefined>>,
  config: Pick<Config, 'host' | 'port'>,
): Check {
  const client = clientTarget(env)
  const own = `http://127.0.0.1:${config.port}/v1`
  if (client === null && config.port === 8000) {
    return check('ok', `clients use their default, ${own}, which is this gate`)
  }
  if (client === null) {
    const what = `clients use http://127.0.0.1:8000/v1 by default, and this gate has port ${config.port}`
    return check('warn', what, `set SYSTEM2_VLLM_BASE_URL=${own} for them`)
  }
  const { source, url } = client
  if (reaches(url, config)) return check('ok', `${source} leads to this gate`)
  const what = `${source} leads elsewhere, so its clients bypass this gate`
  return check('warn', what, `set ${source}=${own}`)
}

/** What `localhost` resolves to, in order. Pure. */
export function localhostCheck(addresses: readonly string[], host: string): Check {
  if (addresses.length === 0) {
    const todo = 'use 127.0.0.1 in URLs, or mend /etc/hosts'
    return check('warn', 'localhost does not resolve', todo)
  }
  if (addresses[0] === '::1' && host === '127.0.0.1') {
    const what = 'localhost resolves to ::1 first, where this gate does not listen'
    return check(
      'warn',
      what,
      'use 127.0.0.1 in base URLs: some clients never try the second address',
    )
  }
  return check('ok', `localhost resolves to ${addresses.join(', ')}`)
}

const PROXY_NAMES = ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy']

/** Would clients send loopback requests to a proxy? Values may hold a password: names only. Pure. */
export function proxyCheck(env: Readonly<Record<string, string | undefined>>): Check {
  const set = PROXY_NAMES.filter((name) => (env[name] ?? '') !== '')
  if (set.length === 0) return check('ok', 'no HTTP proxy is set')
  const bypass = `${env['NO_PROXY'] ?? ''},${env['no_proxy'] ?? ''}`.split(',').map((n) => n.trim())
  if (bypass.includes('*') || (bypass.includes('127.0.0.1') && bypass.includes('localhost'))) {
    return check('ok', `${set.join(', ')} is set, and NO_PROXY exempts this machine`)
  }
  const what = `${set.join(', ')} is set: clients may send requests for this machine to that proxy`
  return check('warn', what, 'set NO_PROXY=127.0.0.1,localhost (gengate itself uses no proxy)')
}

/** What was seen at one upstream, without asking it to generate. */
export interface UpstreamLook {
  readonly name: string
  readonly url: string
  /** Status of `GET /v1/models`; 0: no answer. */
  readonly status: number
  readonly errorCode: string | null
  readonly models: readonly string[] | null
  /** Does it list several models that chat, and nothing says which one a nameless request means? */
  readonly undecided: boolean
  /** The engine that it is by its own words, where another one is configured. */
  readonly answersAs: EngineKind | null
  /** Is it an engine that the gate starts (`_RUN`)? */
  readonly run: boolean
  /** Does its address lead back to this gate, or does a gengate answer there? */
  readonly loops: boolean
}

/** Does nothing listen there because no gate has started it yet? Silence is another matter. */
function sleeps({ run, errorCode, loops }: UpstreamLook): boolean {
  return run && !loops && errorCode === 'ECONNREFUSED'
}

/** Reachable, lists models, and no loop? An unused default that refuses is only worth a warning:
 *  three are configured by default, and one is enough. Pure. */
export function upstreamCheck(look: UpstreamLook): Check {
  const { name, status, errorCode, models, answersAs } = look
  const who = `${name} at ${look.url}`
  const prefix = `GENGATE_${name.toUpperCase()}`
  if (look.loops) {
    const todo = `move the engine to its own port and set ${prefix}_URL`
    return check('fail', `${who} is this gate itself`, todo)
  }
  if (sleeps(look)) {
    return check('ok', `${who} does not run; the gate starts it (${prefix}_RUN)`)
  }
  if (errorCode !== null) {
    const todo = `start the engine, or set ${prefix}_URL`
    return check('warn', `${who} does not answer (${errorCode})`, todo)
  }
  if (status === 401 || status === 403) {
    return check('fail', `${who} wants a key`, `set ${prefix}_API_KEY`)
  }
  if (models === null) {
    const todo = `check ${prefix}_URL; the probe decides (gengate probe ${name})`
    return check('warn', `${who} answers /v1/models with status ${status} and no list`, todo)
  }
  if (answersAs !== null) {
    const what = `${who} answers as ${answersAs} does, and is configured as another engine`
    return check('warn', what, `set ${prefix}_ENGINE=${answersAs}`)
  }
  const listed = `${who} lists ${models.length} ${models.length === 1 ? 'model' : 'models'}`
  if (!look.undecided) return check('ok', listed)
  const todo = `name one in each request, or set ${prefix}_MODEL; docs/engines.md says what fits which server`
  return check('warn', `${listed}, and none is chosen`, todo)
}

/** None of them answering is more than a warning, unless the embedded engine stands in. Pure. */
export function anyUpstreamCheck(looks: readonly UpstreamLook[], embedded: boolean): Check {
  const answering = looks.filter(({ errorCode, loops }) => errorCode === null && !loops).length
  if (answering > 0) return check('ok', `${answering} of ${looks.length} upstreams answer`)
  const started = looks.filter(sleeps).map(({ name }) => name)
  if (started.length > 0) {
    const what = `no upstream answers yet; the gate starts ${started.join(', ')}`
    return check('ok', what, 'start the gate: gengate serve')
  }
  if (embedded) {
    return check('warn', 'no upstream answers; the embedded engine stands in', 'start an engine')
  }
  const todo = 'start an engine; `gengate config print` shows where each is expected'
  return check('fail', 'no upstream answers', todo)
}

/** Is the embedded engine there where it is wanted? Pure. */
export function embeddedCheck(installed: boolean, mode: Config['embedded']['mode']): Check {
  if (installed) return check('ok', 'node-llama-cpp is installed')
  const what = 'node-llama-cpp is not installed, so there is no embedded engine'
  if (mode === 'off') return check('ok', what)
  const todo = 'run `npm install node-llama-cpp@3.21.1` beside gengate'
  return check(mode === 'path' ? 'fail' : 'warn', what, todo)
}

/** What `doctor` says of the gate that answers where it was configured to be, perhaps to refuse us.
 *  `by`: its process, in words. Pure. */
export function gateCheck(origin: string, answer: GateAnswer, by: string): Check {
  if (answer.kind === 'status') {
    return check('ok', `this gate runs at ${origin}: gengate ${answer.status.version} (${by})`)
  }
  const what = `a gengate runs at ${origin} (${by}) and wants another API key`
  const todo = 'set GENGATE_API_KEYS to one that it knows; upstreams are looked at without it'
  return check('warn', what, todo)
}

/** What a running gate knows, instead of what could be guessed from here: its upstreams may have come
 *  by flags, and it alone knows which engines sleep. Pure. */
export function gateUpstreamChecks(status: GateStatus): Check[] {
  const { upstreams, config } = status
  const servable = servableOf(status)
  const { size } = servable
  const todo = 'start an engine; `gengate status` shows each'
  return [
    ...(config.error === null
      ? []
      : [check('warn', `the last reload of the gate failed: ${config.error}`)]),
    ...upstreams.map((row) => rowCheck(row, servable.has(row.name))),
    size > 0
      ? check('ok', `the gate can serve with ${size} of ${upstreams.length} upstreams`)
      : check('fail', 'the gate has no upstream that can serve', todo),
  ]
}

function rowCheck(row: UpstreamStatus, servable: boolean): Check {
  const { intent, state, reason, hint } = row
  const who = `${row.name} at ${row.url}`
  if (intent !== 'enabled') return check('ok', `${who} is ${intent}`)
  if (row.process?.start_on_demand === true) {
    return check('ok', `${who} does not run yet; the gate starts it on demand`)
  }
  const what = `${who} is ${state} (${reason})`
  if (row.eligible || (servable && state !== 'suspect')) return check('ok', what)
  return check('warn', what, hint === '' ? undefined : hint)
}
