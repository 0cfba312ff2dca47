import type { IncomingHttpHeaders } from 'node:http'

import type { GuardPolicy } from './guard-policy.ts'

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
