import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { idsOf } from '../core/model/listed-model.ts'
import { isRecord } from '../engines/engine-error.ts'
import { listedModels } from '../engines/model-list.ts'
import type { Clock } from '../runtime/clock.ts'
import { ask, succeeded } from './ask.ts'
import { originOf } from '../runtime/address.ts'
import { askGate } from './gate-client.ts'
import { type HolderProcess, parseLsof, parseProcNetTcp } from './proc-net.ts'

/** What answers HTTP on a port. */
export type HolderKind =
  | { readonly kind: 'gengate'; readonly version: string | null }
  | { readonly kind: 'vllm'; readonly version: string | null; readonly model: string | null }
  /** Lists models the OpenAI way; `owner` is what it says it is, such as `llamacpp`. */
  | { readonly kind: 'openai'; readonly owner: string | null }
  | { readonly kind: 'http' }
  | { readonly kind: 'silent' }

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
  const [owner, serves] = await Promise.all([
    process.platform === 'linux' ? procHolder(port) : lsofHolder(port),
    identify(originOf({ host, port }), clock),
  ])
  const silentVllm = serves.kind === 'silent' && owner !== null && /vllm/i.test(owner.name)
  return {
    process: owner,
    serves: silentVllm ? { kind: 'vllm', version: null, model: null } : serves,
  }
}

/** What speaks HTTP at `origin`. */
export async function identify(origin: string, clock: Clock): Promise<HolderKind> {
  const gate = await askGate(origin, null, { clock })
  if (gate.kind === 'status') return { kind: 'gengate', version: gate.status.version }
  if (gate.kind === 'unauthorized') return { kind: 'gengate', version: null }
  if (gate.kind === 'unreachable') return { kind: 'silent' }
  const options = { clock, limitMs: ASK_LIMIT_MS, apiKey: null }
  const [told, listing] = await Promise.all([
    ask(origin, '/version', options),
    ask(origin, '/v1/models', options),
  ])
  const ids = idsOf(succeeded(listing) ? listedModels(listing.body) : null)
  const owner = ownerOf(listing.body)
  const version = isRecord(told.body) ? told.body['version'] : undefined
  // vLLM with a key answers 401 to /v1/models; its /version stays open.
  const versioned = typeof version === 'string' && (ids !== null || listing.status === 401)
  if (owner === 'vllm' || (owner === null && versioned)) {
    const number = typeof version === 'string' ? version : null
    return { kind: 'vllm', version: number, model: ids?.[0] ?? null }
  }
  return ids === null ? { kind: 'http' } : { kind: 'openai', owner }
}

/** `owned_by` of the first model listed; null: nobody says. */
function ownerOf(listing: unknown): string | null {
  const data = isRecord(listing) ? listing['data'] : null
  const first: unknown = Array.isArray(data) ? data[0] : null
  const owner = isRecord(first) ? first['owned_by'] : null
  return typeof owner === 'string' ? owner : null
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
