import type { FlightItem } from '../core/evidence.ts'
import type { UpstreamSpec } from '../core/upstream.ts'
import type { AttemptInput } from './attempt.ts'
import type { Asked, ProxyDeps } from './deps.ts'
import type { AnswerHead } from './ending.ts'
import { requestHeaders, responseHeaders } from './headers.ts'
import type { Pool } from './pools.ts'
import { BodyReader, StreamReader } from './reader.ts'
import { withModel } from './rewrite.ts'

type Headers = Record<string, string | string[]>

/** What one attempt sends: path, headers and body, with the model name that the upstream knows. */
export function attemptInput(
  deps: ProxyDeps,
  asked: Asked,
  to: { readonly pool: Pool; readonly model: string | null },
): AttemptInput {
  const { pool, model } = to
  // What the client wrote comes back; where it wrote nothing, the upstream's name is as good.
  const back = model === null ? null : asked.scan.model?.value || null
  const options = { api: asked.lane.api, n: asked.scan.n, model: back }
  return {
    pool,
    path: `${basePath(pool.target.url)}${asked.path}${asked.query}`,
    headers: requestHeaders(asked.headers, {
      requestId: asked.requestId,
      authorization: pool.target.authorization,
      via: asked.via,
      hasBody: true,
    }),
    body: model === null ? asked.body : withModel(asked.body, asked.scan, model),
    mapped: model !== null,
    readerFor: (head) =>
      isEventStream(head) ? new StreamReader(options) : new BodyReader(options),
    clock: deps.clock,
  }
}

/** What the flight book notes of this request. */
export function flightItem({ body, scan }: Asked, sentAt: number): FlightItem {
  const { stream, maxTokens } = scan
  return { sentAt, bytes: body.length, streamed: stream, contentAt: null, maxTokens }
}

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
  return {
    ...responseHeaders(head.headers, { stripLength: true }),
    ...(length === null ? {} : { 'content-length': String(length) }),
    ...asked.cors,
    ...upstreamHeaders(spec),
    'x-request-id': asked.requestId,
  }
}

/** The head that is sent at the commit deadline, before anybody has served. */
export function pendingHeaders(asked: Asked): Headers {
  return {
    ...responseHeaders(
      { 'content-type': 'text/event-stream; charset=utf-8' },
      { stripLength: true },
    ),
    ...asked.cors,
    'x-gengate-upstream': 'pending',
    'x-request-id': asked.requestId,
  }
}

function upstreamHeaders(spec: UpstreamSpec | null): Headers {
  if (spec === null) return {}
  const embedded = spec.engine === 'embedded'
  return {
    'x-gengate-upstream': spec.name,
    ...(embedded ? { 'x-gengate-embedded': spec.model ?? 'yes' } : {}),
  }
}

function isEventStream(head: AnswerHead): boolean {
  return (head.headers['content-type'] ?? '').toLowerCase().startsWith('text/event-stream')
}

/** The path of a base URL without its trailing slash: '' or `/engine`. */
function basePath(url: string): string {
  return new URL(url).pathname.replace(/\/$/, '')
}
