import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { idsOf } from '../core/model/model-choice.ts'
import { isObject } from '../api/read.ts'
import { defaultPortOf } from '../engines/index.ts'
import { urlName } from '../launch/address.ts'
import type { Runnable } from '../launch/start-line.ts'
import { type Listener, originOf } from '../runtime/address.ts'
import type { Clock } from '../runtime/clock.ts'
import { ask, askGate, listedIn, ownerOf } from './gate-client.ts'

/** What answers HTTP on a port. */
type HolderKind =
  | { readonly kind: 'gengate'; readonly version: string | null }
  | { readonly kind: 'vllm'; readonly version: string | null; readonly model: string | null }
  /** Lists models the OpenAI way; `owner` is what it says it is, such as `llamacpp`. */
  | { readonly kind: 'openai'; readonly owner: string | null }
  | { readonly kind: 'http' | 'silent' }

/** Who holds a port: the process, as far as this user may know, and what it speaks. */
export interface Holder {
  readonly process: HolderProcess | null
  readonly serves: HolderKind
}

/** A server on this machine answers such questions at once, or hangs. */
const ASK_LIMIT_MS = 1_000
const LSOF_TIMEOUT_MS = 3_000

/** Finds out who listens on a port of this machine. Never rejects. */
export async function findHolder(host: string, port: number, clock: Clock): Promise<Holder> {
  const [owner, answers] = await Promise.all([
    process.platform === 'linux' ? procHolder(port) : lsofHolder(port),
    identify(originOf({ host, port }), clock),
  ])
  const silentVllm = answers.kind === 'silent' && owner !== null && /vllm/i.test(owner.name)
  const serves = silentVllm ? ({ kind: 'vllm', version: null, model: null } as const) : answers
  return { process: owner, serves }
}

/** What speaks HTTP at `origin`. */
export async function identify(origin: string, clock: Clock): Promise<HolderKind> {
  const place = { url: origin, apiKey: null }
  const gate = await askGate(place, { clock })
  if (gate.kind === 'status') return { kind: 'gengate', version: gate.status.version }
  if (gate.kind === 'unauthorized') return { kind: 'gengate', version: null }
  if (gate.kind === 'unreachable') return { kind: 'silent' }
  const options = { clock, limitMs: ASK_LIMIT_MS }
  const [told, listing] = await Promise.all([
    ask(place, '/version', options),
    ask(place, '/v1/models', options),
  ])
  const ids = idsOf(listedIn(listing))
  const owner = ownerOf(listedIn(listing))
  const { version: said }: { readonly version?: unknown } = isObject(told.body) ? told.body : {}
  const number = typeof said === 'string' ? said : null
  // vLLM with a key answers 401 to /v1/models; its /version stays open.
  const versioned = number !== null && (ids !== null || listing.status === 401)
  if (owner === 'vllm' || (owner === null && versioned)) {
    return { kind: 'vllm', version: number, model: ids?.[0] ?? null }
  }
  return ids === null ? { kind: 'http' } : { kind: 'openai', owner }
}

function procHolder(port: number): HolderProcess | null {
  const row = ['/proc/net/tcp', '/proc/net/tcp6']
    .flatMap((path) => parseProcNetTcp(attempt(() => readFileSync(path, 'utf8')) ?? ''))
    .find((candidate) => candidate.port === port)
  if (row === undefined) return null
  const pid = pidOfSocket(row.inode)
  const other = { pid: null, name: `a process of user ${row.uid}` }
  if (pid === null) return other
  const name = attempt(() => readFileSync(`/proc/${pid}/comm`, 'utf8').trim())
  return name === null ? other : { pid: Number(pid), name }
}

/** The process that has this socket open, among those that this user may look at. */
function pidOfSocket(inode: string): string | null {
  const target = `socket:[${inode}]`
  const pids = (attempt(() => readdirSync('/proc')) ?? []).filter((name) => /^\d+$/.test(name))
  return pids.find((pid) => holds(`/proc/${pid}/fd`, target)) ?? null
}

function holds(directory: string, target: string): boolean {
  const files = attempt(() => readdirSync(directory)) ?? []
  return files.some((file) => attempt(() => readlinkSync(`${directory}/${file}`)) === target)
}

/** `lsof` is part of macOS. */
function lsofHolder(port: number): Promise<HolderProcess | null> {
  const args = ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-Fpc']
  return new Promise((resolve) => {
    execFile('lsof', args, { timeout: LSOF_TIMEOUT_MS }, (_error, stdout) => {
      resolve(parseLsof(stdout))
    })
  })
}

/** Processes come and go while we look, and many are not ours to look at. */
function attempt<T>(look: () => T): T | null {
  try {
    return look()
  } catch {
    return null
  }
}

/** Who owns a listening socket, as `/proc/net/tcp` tells it to everybody. */
interface SocketRow {
  readonly port: number
  /** Identifies the socket among the open files of its process. */
  readonly inode: string
  /** Numeric id of the user that it runs as. */
  readonly uid: number
}

const LISTEN = '0A'

/** Listening sockets in the text of `/proc/net/tcp` or `/proc/net/tcp6` (proc(5)). Pure. */
export function parseProcNetTcp(text: string): SocketRow[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
      const [, local, , state, , , , uid, , inode] = line.trim().split(/\s+/)
      if (local === undefined || inode === undefined || state !== LISTEN) return []
      const port = Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16)
      return [{ port, inode, uid: Number(uid) }]
    })
}

/** A process that holds a port. */
interface HolderProcess {
  /** Null: it belongs to another user, so its id cannot be seen. */
  readonly pid: number | null
  /** Name of the executable, never its arguments: those may hold a key. */
  readonly name: string
}

/** First process in the output of `lsof -Fpc` (`p` lines hold the id, `c` lines the name). Pure. */
export function parseLsof(text: string): HolderProcess | null {
  const lines = text.split('\n')
  const pid = lines.find((line) => line.startsWith('p'))?.slice(1)
  const name = lines.find((line) => line.startsWith('c'))?.slice(1)
  return pid === undefined || name === undefined ? null : { pid: Number(pid), name }
}

/** Who holds the port, in words. Pure. */
export function describeHolder(holder: Holder): string {
  const { serves } = holder
  const by = describeProcess(holder)
  switch (serves.kind) {
    case 'gengate':
      return `another gengate${version(serves.version)} (${by})`
    case 'vllm':
      return `a vLLM${version(serves.version)} (${by})`
    case 'openai':
      return `an OpenAI-compatible server${serves.owner === null ? '' : ` "${serves.owner}"`} (${by})`
    case 'http':
      return `an HTTP server (${by})`
    case 'silent':
      return by
  }
}

/** The process that holds it, in words. Pure. */
export function describeProcess({ process }: Pick<Holder, 'process'>): string {
  if (process === null) return 'an unknown process'
  return process.pid === null ? process.name : `${process.name}, pid ${process.pid}`
}

/** What to print when `serve` cannot have its port: who has it, and each way out. Pure. */
export function portAdvice({ host, port }: Listener, holder: Holder): string[] {
  return [
    `gengate: port ${port} on ${host} is taken by ${describeHolder(holder)}.`,
    ...waysOut(port, holder),
  ]
}

/** What to print when an engine cannot have its port. It is not ours to stop what holds it. `probe`:
 *  whom `gengate probe` is to ask there. Pure. */
export function enginePortAdvice(
  engine: Runnable,
  { host, port, probe }: Listener & { readonly probe: string },
  holder: Holder,
): string[] {
  const other = port + 10
  const move = engine.startsWith('vllm_')
    ? `VLLM_PORT=${other} gengate run ${engine}`
    : `${urlName(engine)}=http://127.0.0.1:${other} gengate run ${engine}`
  const running = holder.serves.kind === 'vllm' || holder.serves.kind === 'openai'
  return [
    `gengate: port ${port} on ${host} is taken by ${describeHolder(holder)}.`,
    ...(running ? [`If that is the engine, it runs already: gengate probe ${probe}`] : []),
    `${stopText(holder)}, or take another port: ${move}`,
  ]
}

function waysOut(port: number, holder: Holder): string[] {
  const { serves } = holder
  const other = port + 10
  switch (serves.kind) {
    case 'gengate':
      return [
        'It is running already: `gengate status` shows what it does.',
        `To run a second one: GENGATE_PORT=${other} gengate serve`,
      ]
    case 'vllm': {
      const name = port === defaultPortOf('vllm_cpu') ? 'vllm_metal' : 'vllm_cpu'
      const engine = defaultPortOf(name)
      return [
        'Two ways out:',
        `  1. Move the engine to ${engine}, where gengate looks for ${name}, then start the gate:`,
        `       vllm serve ${serves.model ?? 'MODEL'} --port ${engine}`,
        '       gengate serve',
        `  2. Leave the engine where it is; clients then use http://127.0.0.1:${other}/v1:`,
        `       GENGATE_PORT=${other} GENGATE_VLLM_CPU_URL=http://127.0.0.1:${port} gengate serve`,
      ]
    }
    case 'openai':
      return [
        'Move that server to another port, or leave it and put the gate in front of it:',
        `  GENGATE_PORT=${other} gengate serve --upstream http://127.0.0.1:${port}`,
      ]
    case 'http':
    case 'silent':
      return [`${stopText(holder)}, or take another port: GENGATE_PORT=${other} gengate serve`]
  }
}

function stopText({ process }: Holder): string {
  const pid = process?.pid ?? null
  return pid === null ? 'Stop it' : `Stop it (kill ${pid})`
}

function version(number: string | null): string {
  return number === null ? '' : ` ${number}`
}

/** What to print when the listener fails for another reason than a taken port. Pure. */
export function listenAdvice({ host, port }: Listener, code: string): string {
  const where = `gengate: cannot listen on ${host} port ${port} (${code})`
  if (code === 'EACCES') return `${where}. Ports below 1024 need privileges: set GENGATE_PORT.`
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return `${where}. This machine has no such address: set GENGATE_HOST.`
  }
  return `${where}.`
}
