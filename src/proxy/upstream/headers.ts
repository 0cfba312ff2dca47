import type { AnswerHead } from '../../core/exchange/ending.ts'
import type { UpstreamSpec } from '../../core/upstream.ts'
import { TYPE_OF } from '../answer/reader.ts'
import type { Asked } from '../deps.ts'

/** Headers by lower-case name, as node:http and undici give them. */
export type IncomingHeaders = Readonly<Record<string, string | string[] | undefined>>

/** What the gate itself says to an upstream. */
export interface RequestExtra {
  readonly requestId: string
  /** The upstream's own key; null: it has none. The client's key never goes on. */
  readonly authorization: string | null
  /** The chain of gates, with this one. */
  readonly via: string
  readonly hasBody: boolean
}

export interface ResponseOptions {
  /** The body may be altered or framed anew, so that its length is not to be passed on. Nor is its
   *  coding, which has been taken off. */
  readonly stripLength: boolean
}

/** Client headers that reach an upstream; a list of what may, since nobody can list what may not.
 *  docs/clients.md says why, and what stays behind. */
export const REQUEST_ALLOWED: ReadonlySet<string> = new Set([
  'accept',
  'accept-language',
  'baggage',
  'content-type',
  'idempotency-key',
  'traceparent',
  'tracestate',
  'user-agent',
  'x-client-request-id',
  'x-session-id',
])
/** Those that go on where there is no body: parts and copies of files, which only a GET knows. */
export const FILE_HEADERS: ReadonlySet<string> = new Set([
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
])
const REQUEST_ALLOWED_PREFIXES = /^(?:openai|anthropic|x-stainless)-[\w!#$%&'*+.^`|~-]*$/

/** Hop by hop (RFC 9110 §7.6.1), whether `Connection` names them or not. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

/** Answer headers that stay behind: between two hops, or orders to the client's browser that an
 *  upstream has no business to give in the gate's name. */
const RESPONSE_STRIPPED: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  '__proto__',
  'alt-svc',
  'clear-site-data',
  'cross-origin-resource-policy',
  'link',
  'location',
  'nel',
  'refresh',
  'report-to',
  'reporting-endpoints',
  'service-worker-allowed',
  'set-cookie',
  'set-cookie2',
  'strict-transport-security',
  'timing-allow-origin',
  'www-authenticate',
  'x-request-id',
])
const RESPONSE_STRIPPED_PREFIXES = /^(?:access-control|x-gengate)-/

const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/
/** What a field value may hold (RFC 9110 §5.5): no CR, LF, NUL or other control but the tab. */
const VALUE = /^[\t\u0020-\u007e\u0080-\u00ff]*$/

/** Headers for the upstream: the client's harmless ones and the gate's own. No client header, not
 *  even `Connection`, can take away what the gate adds. */
export function requestHeaders(
  incoming: IncomingHeaders,
  extra: RequestExtra,
): Record<string, string> {
  const named = connectionNames(incoming['connection'])
  const out: Record<string, string> = {}
  for (const name of Object.keys(incoming)) {
    if (!isRequestAllowed(name, extra.hasBody) || named.has(name)) continue
    if (name === 'content-type' && !extra.hasBody) continue
    const value = incoming[name]
    if (typeof value === 'string' && VALUE.test(value)) out[name] = value
  }
  out['accept-encoding'] = 'identity'
  out['via'] = extra.via
  out['x-request-id'] = extra.requestId
  if (extra.authorization !== null) out['authorization'] = extra.authorization
  return out
}

/** Headers for the client from those of the upstream. The caller adds its own afterwards. */
export function responseHeaders(
  raw: IncomingHeaders,
  options: ResponseOptions,
): Record<string, string | string[]> {
  const named = connectionNames(raw['connection'])
  const out: Record<string, string | string[]> = {}
  for (const name of Object.keys(raw)) {
    const value = raw[name]
    if (value === undefined || isResponseStripped(name) || !TOKEN.test(name)) continue
    if (named.has(name) && name !== 'content-type') continue
    if (options.stripLength && (name === 'content-length' || name === 'content-encoding')) continue
    if (typeof value === 'string') {
      if (VALUE.test(value)) out[name] = value
      continue
    }
    const values = value.filter((one) => VALUE.test(one))
    const [first] = values
    if (first !== undefined) out[name] = values.length === 1 ? first : values
  }
  out['x-content-type-options'] = 'nosniff'
  out['cross-origin-resource-policy'] = 'same-origin'
  if (/^text\/event-stream/i.test(String(out['content-type'] ?? ''))) {
    out['cache-control'] ??= 'no-cache'
    out['x-accel-buffering'] ??= 'no'
  }
  return out
}

/** Header names that a `Connection` header declares to be for this hop only. */
function connectionNames(value: string | string[] | undefined): ReadonlySet<string> {
  // Stays behind by its own name.
  if (value === undefined || value === 'keep-alive') return NO_NAMES
  const text = Array.isArray(value) ? value.join(',') : value
  return new Set(text.split(',').map((name) => name.trim().toLowerCase()))
}
const NO_NAMES: ReadonlySet<string> = new Set()

function isRequestAllowed(name: string, hasBody: boolean): boolean {
  if (REQUEST_ALLOWED.has(name) || REQUEST_ALLOWED_PREFIXES.test(name)) return true
  return !hasBody && FILE_HEADERS.has(name)
}

function isResponseStripped(name: string): boolean {
  return RESPONSE_STRIPPED.has(name) || RESPONSE_STRIPPED_PREFIXES.test(name)
}

type Headers = Record<string, string | string[]>

/** Status line and headers that the client gets with the upstream's answer. */
export function answerHeaders(
  head: AnswerHead,
  about: {
    readonly asked: Asked
    readonly spec: UpstreamSpec | null
    readonly length: number | null
  },
): Headers {
  const { asked, spec, length } = about
  const becomesEvents = wraps(asked) && head.status < 300 && !isEventStream(head)
  const headers = becomesEvents ? { ...head.headers, 'content-type': TYPE_OF.events } : head.headers
  const out = responseHeaders(headers, { stripLength: asked.lane.api !== null })
  if (length !== null) out['content-length'] = String(length)
  Object.assign(out, asked.cors)
  if (spec !== null) nameUpstream(out, spec)
  out['x-request-id'] = asked.requestId
  // Engines say that they are full, and hardly ever when to come back.
  if (head.status === 503) out['retry-after'] ??= '1'
  return out
}

/** The head that is sent at the commit deadline, before anybody has served. */
export function pendingHeaders(asked: Asked): Headers {
  return {
    ...responseHeaders({ 'content-type': TYPE_OF.events }, { stripLength: true }),
    ...asked.cors,
    'x-gengate-upstream': 'pending',
    'x-request-id': asked.requestId,
  }
}

function nameUpstream(out: Headers, { name, engine, model }: UpstreamSpec): void {
  out['x-gengate-upstream'] = name
  if (engine === 'embedded') out['x-gengate-embedded'] = model ?? 'yes'
}

/** Does a JSON answer have to become the event stream that the client asked for? */
function wraps({ lane, scan }: Asked): boolean {
  return scan.stream && lane.api?.asEvents !== undefined
}

/** Does it say that it is a stream of events? Pure. */
export function isEventStream(head: AnswerHead): boolean {
  return /^text\/event-stream/i.test(head.headers['content-type'] ?? '')
}
