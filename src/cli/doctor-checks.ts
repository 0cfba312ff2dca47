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

/** Which Node runs this, and whether it is the bundled one. Pure. */
export function nodeCheck(version: string, execPath: string): Check {
  const bundled = /node_modules[\\/](?:node-linux|node-bin-darwin|node-darwin)-/.test(execPath)
  return { level: 'ok', what: `Node ${version}${bundled ? ' (bundled)' : ''} runs gengate` }
}

/** Do clients' variables lead to this gate? Pure. */
export function clientUrlCheck(
  env: Readonly<Record<string, string | undefined>>,
  config: Pick<Config, 'host' | 'port'>,
): Check {
  const client = clientTarget(env)
  const own = `http://127.0.0.1:${config.port}/v1`
  if (client === null) {
    return config.port === 8000
      ? { level: 'ok', what: `clients use their default, ${own}, which is this gate` }
      : {
          level: 'warn',
          what: `clients use http://127.0.0.1:8000/v1 by default, and this gate has port ${config.port}`,
          todo: `set SYSTEM2_VLLM_BASE_URL=${own} for them`,
        }
  }
  if (reaches(client.url, config)) {
    return { level: 'ok', what: `${client.source} leads to this gate` }
  }
  return {
    level: 'warn',
    what: `${client.source} leads elsewhere, so its clients bypass this gate`,
    todo: `set ${client.source}=${own}`,
  }
}

/** What `localhost` resolves to, in order. Pure. */
export function localhostCheck(addresses: readonly string[], host: string): Check {
  if (addresses.length === 0) {
    return {
      level: 'warn',
      what: 'localhost does not resolve',
      todo: 'use 127.0.0.1 in URLs, or mend /etc/hosts',
    }
  }
  if (addresses[0] === '::1' && host === '127.0.0.1') {
    return {
      level: 'warn',
      what: 'localhost resolves to ::1 first, where this gate does not listen',
      todo: 'use 127.0.0.1 in base URLs: some clients never try the second address',
    }
  }
  return { level: 'ok', what: `localhost resolves to ${addresses.join(', ')}` }
}

const PROXY_NAMES = ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy']

/** Would clients send loopback requests to a proxy? Values may hold a password: names only. Pure. */
export function proxyCheck(env: Readonly<Record<string, string | undefined>>): Check {
  const set = PROXY_NAMES.filter((name) => (env[name] ?? '') !== '')
  if (set.length === 0) return { level: 'ok', what: 'no HTTP proxy is set' }
  const bypass = `${env['NO_PROXY'] ?? ''},${env['no_proxy'] ?? ''}`.split(',').map((n) => n.trim())
  if (bypass.includes('*') || (bypass.includes('127.0.0.1') && bypass.includes('localhost'))) {
    return { level: 'ok', what: `${set.join(', ')} is set, and NO_PROXY exempts this machine` }
  }
  return {
    level: 'warn',
    what: `${set.join(', ')} is set: clients may send requests for this machine to that proxy`,
    todo: 'set NO_PROXY=127.0.0.1,localhost (gengate itself uses no proxy)',
  }
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
  const who = `${look.name} at ${look.url}`
  const prefix = `GENGATE_${look.name.toUpperCase()}`
  if (look.loops) {
    return {
      level: 'fail',
      what: `${who} is this gate itself`,
      todo: `move the engine to its own port and set ${prefix}_URL`,
    }
  }
  if (sleeps(look)) {
    return { level: 'ok', what: `${who} does not run; the gate starts it (${prefix}_RUN)` }
  }
  if (look.errorCode !== null) {
    const todo = `start the engine, or set ${prefix}_URL`
    return { level: 'warn', what: `${who} does not answer (${look.errorCode})`, todo }
  }
  if (look.status === 401 || look.status === 403) {
    return { level: 'fail', what: `${who} wants a key`, todo: `set ${prefix}_API_KEY` }
  }
  if (look.models === null) {
    return {
      level: 'warn',
      what: `${who} answers /v1/models with status ${look.status} and no list`,
      todo: `check ${prefix}_URL; the probe decides (gengate probe ${look.name})`,
    }
  }
  if (look.answersAs !== null) {
    return {
      level: 'warn',
      what: `${who} answers as ${look.answersAs} does, and is configured as another engine`,
      todo: `set ${prefix}_ENGINE=${look.answersAs}`,
    }
  }
  if (look.undecided) {
    return {
      level: 'warn',
      what: `${who} lists ${look.models.length} models, and none is chosen`,
      todo: `name one in each request, or set ${prefix}_MODEL; docs/engines.md says what fits which server`,
    }
  }
  const listed = look.models.length === 1 ? '1 model' : `${look.models.length} models`
  return { level: 'ok', what: `${who} lists ${listed}` }
}

/** None of them answering is more than a warning, unless the embedded engine stands in. Pure. */
export function anyUpstreamCheck(looks: readonly UpstreamLook[], embedded: boolean): Check {
  const answering = looks.filter(({ errorCode, loops }) => errorCode === null && !loops).length
  if (answering > 0)
    return { level: 'ok', what: `${answering} of ${looks.length} upstreams answer` }
  const started = looks.filter(sleeps).map(({ name }) => name)
  if (started.length > 0) {
    const what = `no upstream answers yet; the gate starts ${started.join(', ')}`
    return { level: 'ok', what, todo: 'start the gate: gengate serve' }
  }
  if (embedded) {
    return {
      level: 'warn',
      what: 'no upstream answers; the embedded engine stands in',
      todo: 'start an engine',
    }
  }
  return {
    level: 'fail',
    what: 'no upstream answers',
    todo: 'start an engine; `gengate config print` shows where each is expected',
  }
}

/** Is the embedded engine there where it is wanted? Pure. */
export function embeddedCheck(installed: boolean, mode: Config['embedded']['mode']): Check {
  if (installed) return { level: 'ok', what: 'node-llama-cpp is installed' }
  const what = 'node-llama-cpp is not installed, so there is no embedded engine'
  if (mode === 'off') return { level: 'ok', what }
  return {
    level: mode === 'path' ? 'fail' : 'warn',
    what,
    todo: 'run `npm install node-llama-cpp@3.21.1` beside gengate',
  }
}

/** What `doctor` says of the gate that answers where it was configured to be. `by`: its process, in
 *  words. Pure. */
export function gateCheck(
  origin: string,
  answer: Extract<GateAnswer, { kind: 'status' | 'unauthorized' }>,
  by: string,
): Check {
  if (answer.kind === 'status') {
    const what = `this gate runs at ${origin}: gengate ${answer.status.version} (${by})`
    return { level: 'ok', what }
  }
  return {
    level: 'warn',
    what: `a gengate runs at ${origin} (${by}) and wants another API key`,
    todo: 'set GENGATE_API_KEYS to one that it knows; upstreams are looked at without it',
  }
}

/** What a running gate knows, instead of what could be guessed from here: its upstreams may have come
 *  by flags, and it alone knows which engines sleep. Pure. */
export function gateUpstreamChecks(status: GateStatus): Check[] {
  const { upstreams, config } = status
  const servable = servableOf(status)
  const reload: Check[] =
    config.error === null
      ? []
      : [{ level: 'warn', what: `the last reload of the gate failed: ${config.error}` }]
  return [
    ...reload,
    ...upstreams.map((row) => rowCheck(row, servable.has(row.name))),
    servable.size > 0
      ? {
          level: 'ok',
          what: `the gate can serve with ${servable.size} of ${upstreams.length} upstreams`,
        }
      : {
          level: 'fail',
          what: 'the gate has no upstream that can serve',
          todo: 'start an engine; `gengate status` shows each',
        },
  ]
}

function rowCheck(row: UpstreamStatus, servable: boolean): Check {
  const who = `${row.name} at ${row.url}`
  if (row.intent !== 'enabled') return { level: 'ok', what: `${who} is ${row.intent}` }
  const what = `${who} is ${row.state} (${row.reason})`
  if (row.process?.start_on_demand === true) {
    return { level: 'ok', what: `${who} does not run yet; the gate starts it on demand` }
  }
  if (row.eligible || (servable && row.state !== 'suspect')) return { level: 'ok', what }
  return row.hint === '' ? { level: 'warn', what } : { level: 'warn', what, todo: row.hint }
}
