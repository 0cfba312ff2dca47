import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { isIPv4, isIPv6 } from 'node:net'

/** Whom the gate serves (docs/decisions/0016). */
export interface GuardPolicy {
  /** Names served besides IP literals, lower-case, with any port. */
  readonly hosts: readonly string[]
  /** Web origins that may ask, as browsers write them. */
  readonly origins: readonly string[]
  /** SHA-256 of each accepted key; none: no key is needed. */
  readonly keyHashes: readonly Buffer[]
  /** Do `/metrics` and `/gate/*` need the key too? */
  readonly operatorNeedsKey: boolean
  /** Names this process in `Via`. */
  readonly instanceId: string
}

/** The policy from settings: the default hosts are always served, keys are kept as hashes only. */
export function guardPolicy({
  hosts,
  origins,
  keys,
  ...rest
}: Omit<GuardPolicy, 'keyHashes'> & { readonly keys: readonly string[] }): GuardPolicy {
  return {
    hosts: [...DEFAULT_HOSTS, ...hosts.map((host) => host.toLowerCase())],
    // Browsers send origins in lower case and without a trailing slash; people write both.
    origins: origins.map((origin) => origin.toLowerCase().replace(/\/$/, '')),
    keyHashes: keys.map(hashOf),
    ...rest,
  }
}

/** Host names that are served by default: they can only mean this machine. */
export const DEFAULT_HOSTS: readonly string[] = [
  'localhost',
  'host.docker.internal',
  'host.containers.internal',
]

const LABEL = '[a-z\\d](?:[a-z\\d_-]{0,61}[a-z\\d])?'
const NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`)

/**
 * Is this authority (`Host`, or the one of an absolute target) ours to serve? IP literals are, with
 * any port: DNS rebinding needs a name. `hosts` are lower-case names. Parsed strictly: `127.1`,
 * `0x7f.1`, a trailing dot, userinfo, zones and mapped addresses are not.
 */
export function isHostAllowed(authority: string, hosts: readonly string[]): boolean {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(authority.toLowerCase())
  if (match === null) return false
  const [, literal, name = '', port] = match
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return false
  if (literal !== undefined) return isIPv6(literal) && !/[.%]|^::ffff:/.test(literal)
  return isIPv4(name) || (NAME.test(name) && hosts.includes(name))
}

/** Answer headers that an allowed page may read. */
const EXPOSED = 'retry-after, retry-after-ms, x-gengate-upstream, x-request-id, x-should-retry'
/** What a page may send if it does not ask for anything in particular. */
const HEADERS_ALLOWED = 'authorization, content-type, x-api-key'
/** Longest list of header names that is answered as it was asked: the SDKs ask for a dozen. */
const ASKED_MAX = 1024

/** May pages of this origin ask? `null`, what sandboxed pages and files send, is one by name only. */
export function isOriginAllowed(origin: string, policy: GuardPolicy): boolean {
  return policy.origins.includes(origin)
}

/** Headers that let a page of an allowed origin read an answer; none for anybody else. */
export function corsHeaders(
  origin: string | undefined,
  policy: GuardPolicy,
): Record<string, string> {
  if (policy.origins.length === 0) return {}
  if (origin === undefined || !isOriginAllowed(origin, policy)) return { vary: 'Origin' }
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': EXPOSED,
    vary: 'Origin',
  }
}

/** The same for the question that a browser asks first. */
export function preflightHeaders(
  headers: IncomingHttpHeaders,
  policy: GuardPolicy,
): Record<string, string> {
  const cors = corsHeaders(headers.origin, policy)
  if (cors['access-control-allow-origin'] === undefined) return cors
  const asked = headers['access-control-request-headers'] ?? ''
  const plain = asked.length <= ASKED_MAX && /^[\w-]+(?: *, *[\w-]+)*$/.test(asked)
  return {
    ...cors,
    'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE, OPTIONS',
    'access-control-allow-headers': plain ? asked : HEADERS_ALLOWED,
    'access-control-max-age': '600',
    // A page on a public address asks for leave to reach this machine (Chromium).
    ...(headers['access-control-request-private-network'] === 'true'
      ? { 'access-control-allow-private-network': 'true' }
      : {}),
    vary: 'Origin, Access-Control-Request-Headers, Access-Control-Request-Private-Network',
  }
}

/** Longer credentials cannot be a key of ours, and hashing them would be work for nothing. */
const KEY_LENGTH_MAX = 1024

/** Does this canonical path need a key under this policy? */
export function needsKey(path: string, policy: GuardPolicy): boolean {
  if (policy.keyHashes.length === 0 || path === '/') return false
  return path === '/metrics' || path.startsWith('/gate/') ? policy.operatorNeedsKey : true
}

/**
 * Does the request carry one of the keys, as `Authorization: Bearer` or `x-api-key`? Every key is
 * compared with every credential, in constant time. A header that comes twice counts as absent.
 */
export function hasValidKey(
  request: { readonly rawHeaders: readonly string[]; readonly headers: IncomingHttpHeaders },
  policy: GuardPolicy,
): boolean {
  const { authorization } = request.headers
  const bearer = /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
  const given = [bearer, request.headers['x-api-key']].filter(
    (key) => typeof key === 'string' && key !== '' && key.length <= KEY_LENGTH_MAX,
  )
  if (countOf(request.rawHeaders, 'authorization') > 1) return false
  if (countOf(request.rawHeaders, 'x-api-key') > 1) return false
  let valid = false
  for (const key of given) {
    const hash = hashOf(String(key))
    for (const known of policy.keyHashes) valid = timingSafeEqual(hash, known) || valid
  }
  return valid
}

/** How often a header comes. `headers` hides it: node drops or joins the later ones. */
function countOf(rawHeaders: readonly string[], name: string): number {
  return rawHeaders.filter((text, i) => i % 2 === 0 && text.toLowerCase() === name).length
}

/** SHA-256: makes keys of all lengths equally long, so that comparing them tells nothing. */
function hashOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

/** More gates than this in one chain are a loop that nobody meant. */
const GATES_MAX = 5

/**
 * The `Via` to send on, and whether the request has been here before. Only the gates of the chain
 * are carried: other proxies' entries are of no use to an engine.
 */
export function viaOf(
  incoming: string | string[] | undefined,
  instanceId: string,
): { readonly value: string; readonly loop: boolean } {
  const own = `gengate-${instanceId}`
  if (incoming === undefined) return { value: `1.1 ${own}`, loop: false }
  const entries = (Array.isArray(incoming) ? incoming.join(',') : incoming).split(',')
  const gates = entries.flatMap((entry) => {
    const by = entry.trim().split(/\s+/)[1] ?? ''
    return /^gengate-[\w.-]{1,64}$/.test(by) ? [by] : []
  })
  const value = [...gates.slice(-GATES_MAX), own].map((gate) => `1.1 ${gate}`).join(', ')
  return { value, loop: gates.includes(own) || gates.length > GATES_MAX }
}
