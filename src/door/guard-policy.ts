import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { ErrorCode } from '../errors/catalogue.ts'
import { DEFAULT_HOSTS } from './guard-host.ts'

/** What the guards look at; node's `IncomingMessage` is one. */
export interface GuardedRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly rawHeaders: readonly string[]
  readonly headers: IncomingHttpHeaders
  readonly httpVersion: string
}

/** Why a request may not come in. */
export interface Refusal {
  readonly ok: false
  readonly code: ErrorCode
  /** For people, appended to the code's own message; may be ''. Never holds client input. */
  readonly detail: string
  /** What the answer must say besides: `Allow`, `WWW-Authenticate`, CORS for an allowed page. */
  readonly headers: Readonly<Record<string, string>>
}

/** A refusal, for the guards. */
export function refuse(
  code: ErrorCode,
  detail = '',
  headers: Readonly<Record<string, string>> = {},
): Refusal {
  return { ok: false, code, detail, headers }
}

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
export function guardPolicy(settings: {
  readonly hosts: readonly string[]
  readonly origins: readonly string[]
  readonly keys: readonly string[]
  readonly operatorNeedsKey: boolean
  readonly instanceId: string
}): GuardPolicy {
  return {
    hosts: [...DEFAULT_HOSTS, ...settings.hosts.map((host) => host.toLowerCase())],
    // Browsers send origins in lower case and without a trailing slash; people write both.
    origins: settings.origins.map((origin) => origin.toLowerCase().replace(/\/$/, '')),
    keyHashes: settings.keys.map((key) => hashOf(key)),
    operatorNeedsKey: settings.operatorNeedsKey,
    instanceId: settings.instanceId,
  }
}

/** SHA-256: makes keys of all lengths equally long, so that comparing them tells nothing. */
export function hashOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}
