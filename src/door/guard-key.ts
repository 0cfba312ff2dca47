import { timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

import { type GuardPolicy, hashOf } from './guard-policy.ts'

/** Longer credentials are no key of ours, and hashing them would be work for nothing. */
const KEY_LENGTH_MAX = 1024

/** Does this canonical path need a key under this policy? */
export function needsKey(path: string, policy: GuardPolicy): boolean {
  if (policy.keyHashes.length === 0 || path === '/') return false
  return path === '/metrics' || path.startsWith('/gate/') ? policy.operatorNeedsKey : true
}

/**
 * Does the request carry one of the keys, as `Authorization: Bearer` or `x-api-key`? Every key is
 * compared with every credential, in constant time. A header that comes twice is none.
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
export function countOf(rawHeaders: readonly string[], name: string): number {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === name) count += 1
  }
  return count
}
