import type { IncomingHttpHeaders } from 'node:http'
import { allowOf, isMethodAllowed, laneOf } from '../api/index.ts'
import type { Handed } from '../core/exchange/exchange.ts'
import {
  corsHeaders,
  type GuardPolicy,
  hasValidKey,
  isHostAllowed,
  isOriginAllowed,
  needsKey,
  preflightHeaders,
  viaOf,
} from './access.ts'
import {
  asksForSocket,
  framingFault,
  type GuardedRequest,
  type Refusal,
  refuse,
  targetOf,
  upgradeFault,
} from './framing.ts'

/** May it come in? An `OPTIONS` whose `cors` is not empty, or whose path is `*`, is answered with 204
 *  and these headers. */
export type GuardResult =
  | (Omit<Handed, 'requestId'> & {
      readonly ok: true
      /** It asks for a WebSocket, and its path is the one that has it. */
      readonly upgrade?: true
    })
  | Refusal

/** Asked by platforms under names and from places that nobody can know, and they tell nothing. */
const OPEN_PATHS: readonly string[] = ['/livez', '/readyz', '/health']

/**
 * Decides whether a request may come in at all, before anything is read of its body and whatever
 * route it is for (docs/decisions/0016). Pure. The order matters where it leaks: framing, target, host and
 * origin first, the key before anything that tells about routes.
 */
export function checkRequest(request: GuardedRequest, policy: GuardPolicy): GuardResult {
  const { headers, method = '' } = request
  const framing = framingFault(request)
  if (framing !== null) return framing
  const target = targetOf(request)
  if (target === null) return refuse('bad_path')
  const { path, query } = target
  const open = OPEN_PATHS.includes(path)
  const isOurs = (one?: string): boolean => one === undefined || isHostAllowed(one, policy.hosts)
  if (!open && !(isOurs(headers.host) && isOurs(target.authority))) {
    return refuse('host_not_allowed')
  }
  if (isForeign(headers, path, policy)) return refuse('origin_not_allowed')
  const { value: via, loop } = viaOf(headers.via, policy.instanceId)
  const admitted = { ok: true, path, query, via } as const
  if (method === 'OPTIONS') return { ...admitted, cors: preflightHeaders(headers, policy) }
  const cors = corsHeaders(headers.origin, policy)
  const fault =
    protocolFault(request, path) ??
    (loop ? refuse('loop_detected') : null) ??
    (open || !needsKey(path, policy) || hasValidKey(request, policy) ? null : NO_KEY) ??
    contentFault(request, path)
  if (fault !== null) return { ...fault, headers: { ...cors, ...fault.headers } }
  return { ...admitted, cors, ...(asksForSocket(headers) ? { upgrade: true } : {}) }
}

/** Does a web page that the operator did not allow ask? */
function isForeign(headers: IncomingHttpHeaders, path: string, policy: GuardPolicy): boolean {
  // Every page can make itself one without an origin: it never sees what the operator sees.
  if (headers.origin === 'null' && !path.startsWith('/v1/')) return true
  if (headers.origin !== undefined) return !isOriginAllowed(headers.origin, policy)
  const site = headers['sec-fetch-site']
  return site !== undefined && site !== 'same-origin' && site !== 'none'
}

function protocolFault(request: GuardedRequest, path: string): Refusal | null {
  const { headers, method = '' } = request
  const upgrade = upgradeFault(request, path)
  if (upgrade !== null) return upgrade
  if (!isMethodAllowed(method, path)) {
    const allow = allowOf(path)
    return refuse('method_not_allowed', `Use ${allow}.`, { allow })
  }
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') {
    return refuse('expectation_failed')
  }
  return null
}

const NO_KEY = refuse('invalid_api_key', '', { 'www-authenticate': 'Bearer' })

/** JSON in UTF-8 and nothing else where a body is read: it makes browsers ask first. */
const JSON_TYPE =
  /^application\/json[ \t]*(?:;[ \t]*(?:charset=(?:utf-?8|"utf-?8")[ \t]*;?[ \t]*)?)?$/i

function contentFault({ headers, method = '' }: GuardedRequest, path: string): Refusal | null {
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    return refuse('unsupported_content_encoding')
  }
  // Elsewhere a form or a file may come, and pages that nobody allowed have been refused by now.
  if (laneOf(method, path)?.body !== 'buffered') return null
  return JSON_TYPE.test(headers['content-type'] ?? '') ? null : refuse('unsupported_media_type')
}
