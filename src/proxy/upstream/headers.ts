import type { AnswerHead } from '../../core/exchange/exchange.ts'
import { isObject, objectOf } from '../../api/read.ts'
import type { UpstreamSpec } from '../../core/upstream.ts'
import { type AnswerReader, BodyReader, RawReader, type ReaderOptions } from '../answer/reader.ts'
import { FormReader, StreamReader, TYPE_OF } from '../answer/stream-reader.ts'
import type { Asked, ProxyDeps } from '../deps.ts'
import { freeBody } from '../request/body.ts'
import { renamed } from '../request/form.ts'
import { withModel } from '../request/rewrite.ts'
import { detached } from '../request/upload.ts'
import type { Pool } from './pools.ts'
import type { Readable } from 'node:stream'
import type { Clock } from '../../runtime/clock.ts'

/** Headers by lower-case name, as node:http and undici give them. */
export type IncomingHeaders = Readonly<Record<string, string | string[] | undefined>>

type Headers = Record<string, string | string[]>

/** What the gate itself says to an upstream. */
export interface RequestExtra extends Pick<Asked, 'requestId' | 'via'> {
  /** The upstream's own key; null: it has none. The client's key never goes on. */
  readonly authorization: string | null
  readonly hasBody: boolean
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

/** Answer headers that stay behind: between two hops, or orders to the client's browser that an
 *  upstream has no business to give in the gate's name. */
const RESPONSE_STRIPPED: ReadonlySet<string> = new Set([
  // Hop by hop (RFC 9110 §7.6.1), whether `Connection` names them or not.
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
  // Orders to a browser.
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

/** Headers for the client from those of the upstream. The caller adds its own afterwards. `stripLength`:
 *  the body may be altered or framed anew, so that its length is not to be passed on; nor is its coding,
 *  which has been taken off. */
export function responseHeaders(raw: IncomingHeaders, stripLength: boolean): Headers {
  const named = connectionNames(raw['connection'])
  const out: Headers = {}
  for (const name of Object.keys(raw)) {
    const value = raw[name]
    if (value === undefined || isResponseStripped(name) || !TOKEN.test(name)) continue
    if (named.has(name) && name !== 'content-type') continue
    if (stripLength && (name === 'content-length' || name === 'content-encoding')) continue
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

/** Status line and headers that the client gets with the upstream's answer. */
export function answerHeaders(
  head: AnswerHead,
  asked: Asked,
  spec: UpstreamSpec | null,
  length: number | null,
): Headers {
  const becomesEvents = wraps(asked) && head.status < 300 && !isEventStream(head)
  const headers = becomesEvents ? { ...head.headers, 'content-type': TYPE_OF.events } : head.headers
  const out = responseHeaders(headers, asked.lane.api !== null)
  if (length !== null) out['content-length'] = String(length)
  Object.assign(out, asked.cors)
  if (spec !== null) out['x-gengate-upstream'] = spec.name
  if (spec?.engine === 'embedded') out['x-gengate-embedded'] = spec.model ?? 'yes'
  out['x-request-id'] = asked.requestId
  // Engines say that they are full, and hardly ever when to come back.
  if (head.status === 503) out['retry-after'] ??= '1'
  return out
}

/** The head that is sent at the commit deadline, before anybody has served. */
export function pendingHeaders(asked: Asked): Headers {
  return {
    ...responseHeaders({ 'content-type': TYPE_OF.events }, true),
    ...asked.cors,
    'x-gengate-upstream': 'pending',
    'x-request-id': asked.requestId,
  }
}

/** Does a JSON answer have to become the event stream that the client asked for? */
function wraps({ lane, scan }: Asked): boolean {
  return scan.stream && lane.api?.asEvents !== undefined
}

/** Does it say that it is a stream of events? Pure. */
function isEventStream(head: AnswerHead): boolean {
  return /^text\/event-stream/i.test(head.headers['content-type'] ?? '')
}

/** What one attempt is to send, and how to read what comes back. */
export interface AttemptInput {
  readonly pool: Pool
  readonly method: string
  readonly path: string
  readonly headers: Record<string, string>
  /** A function: a body that goes on as it arrives; `flushed` tells whether all of what it gave is
   *  out of this process. */
  readonly body: Buffer | ((flushed: () => boolean) => Readable) | null
  /** The answer has begun to reach the client: the body will not be sent again. */
  readonly bodySent?: () => void
  /** Is the answer judged by its status and content? Otherwise it goes on as it comes. */
  readonly judged: boolean
  /** Was a model name mapped? Then a 404 is about our mapping. */
  readonly mapped: boolean
  /** Has the head of an event stream gone out to the client already? */
  readonly pending: () => boolean
  /** The reader for an answer that is to be judged, by its head. */
  readonly readerFor: (head: AnswerHead) => AnswerReader
  /** May it be sent again, as the connection had died before? `seen`: the upstream may have all of
   *  the first try nevertheless. Counts it, if so. */
  readonly mayReplay: (seen: boolean) => boolean
  /** Something of ours threw while it read the answer. */
  readonly onBug: (error: unknown) => void
  readonly clock: Clock
}

/** What one attempt sends: path, headers and body, with the model name that the upstream knows. `mapped`:
 *  did the gate choose it, so that a 404 is the gate's mistake and not the client's? */
export function attemptInput(
  deps: ProxyDeps,
  asked: Asked,
  to: Pick<AttemptInput, 'pool' | 'mapped' | 'pending' | 'mayReplay'> &
    Required<Pick<ReaderOptions, 'endRule' | 'onEndSign' | 'model'>>,
): AttemptInput {
  const { pool, model } = to
  const { lane, scan, upload, form } = asked
  const body = bodyFor(asked, model)
  const onId = (id: string): void => deps.sticky.remember(id, pool.target.name)
  return {
    pool,
    method: asked.method,
    path: `${pool.basePath}${asked.path}${asked.query}`,
    headers: sentHeaders(asked, pool, body),
    body: upload === null ? body : (flushed) => detached(upload, flushed, form, body),
    bodySent: () => {
      if (upload === null && body !== null && body !== asked.body) freeBody(body)
      asked.bodySent()
    },
    judged: lane.api !== null,
    mapped: to.mapped,
    pending: to.pending,
    mayReplay: to.mayReplay,
    readerFor: (head) => {
      if (lane.api === null || isVectors(asked, head)) return new RawReader()
      // What the client wrote comes back; where it wrote nothing, the upstream's name is as good.
      const back = model === null ? null : scan.model?.value || null
      const wrap = scan.stream ? (answer: Buffer) => asStream(asked, answer, to.pending()) : null
      const { endRule, onEndSign } = to
      const options = { api: lane.api, endRule, onEndSign, model: back, onId, wrap }
      const readerFor = (shape: 'events' | 'json'): AnswerReader =>
        shape === 'events' ? new StreamReader(options) : new BodyReader(options)
      return new FormReader(isEventStream(head) ? 'events' : 'json', scan.stream, readerFor)
    },
    onBug: (error) => {
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
      deps.emit({ type: 'bug', where: 'attempt', message })
    },
    clock: deps.clock,
  }
}

function sentHeaders(asked: Asked, pool: Pool, body: Buffer | null): Record<string, string> {
  const { upload, headers, form, requestId, via } = asked
  const { authorization } = pool.target
  const hasBody = upload !== null || asked.body.length > 0
  const sent = requestHeaders(headers, { requestId, authorization, via, hasBody })
  // mlx-lm refuses a body without its length (411): what the client declared goes on.
  const length = upload === null ? undefined : headers['content-length']
  const longer = (body?.length ?? 0) - (form?.bytes.length ?? 0)
  if (length !== undefined) sent['content-length'] = String(Number(length) + longer)
  return sent
}

/** The body, or what was read of a form that is not held whole; null: there is none. */
function bodyFor({ body, upload, scan, form }: Asked, model: string | null): Buffer | null {
  if (upload === null && body.length === 0) return null
  if (form !== null) {
    const named = form.scan.model
    return model === null || named === null ? form.bytes : renamed(form.bytes, named, model)
  }
  if (upload !== null) return null
  return model === null ? body : withModel(body, scan, model)
}

/**
 * A JSON answer to a client that asked for a stream: its events where we know how they look; else
 * the answer as it is, unless (`pending`) a stream has begun already. Null: it cannot go out.
 */
function asStream(asked: Asked, answer: Buffer, pending: boolean): Buffer | null {
  const asEvents = asked.lane.api?.asEvents
  if (asEvents === undefined) return pending ? null : answer
  // Rare enough to build the tree: the body has been proven to parse.
  const options = objectOf(asked.body.toString())?.['stream_options']
  return asEvents(answer, isObject(options) && options['include_usage'] === true)
}

/** vLLM sends vectors as bytes to clients that ask for them: there is nothing to judge in them. */
function isVectors({ lane }: Asked, head: AnswerHead): boolean {
  if (lane.api?.bytes !== true) return false
  return (head.headers['content-type'] ?? '').toLowerCase().startsWith('application/octet-stream')
}
