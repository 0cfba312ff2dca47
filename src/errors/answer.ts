import { type ErrorWords, mayRetry, toOpenAiBody } from './body.ts'
import { type ErrorCode, ERRORS } from './catalogue.ts'

/** A whole answer of the gate's own, as a value: whoever holds the socket sends it. */
export interface Answer {
  readonly status: number
  /** Lower-case names. `content-length` is always among them. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** The code of the error in it; null: it is not an error. */
  readonly code: ErrorCode | null
}

/** What an error answer says beyond its row in the catalogue. */
export interface ErrorDetails {
  readonly requestId: string
  /** How the client that asked reads errors; absent: as OpenAI's do. */
  readonly words?: ErrorWords | undefined
  /** Appended to the message. May hold client input: it is clipped and escaped. */
  readonly detail?: string
  /** The field of the request that is at fault. */
  readonly param?: string | null
  /** When trying again makes sense, ms; only sent with codes that may be retried. */
  readonly retryAfterMs?: number
  /** `Allow` of a 405, CORS of an allowed origin, `connection: close`. */
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * Headers of every answer: a web page must neither guess a type nor embed what it may not read
 * (a browser is a client of a loopback port, too).
 */
const SAFETY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
} as const

const RETRY_MS = 1_000
const RETRY_MS_MIN = 100
/** openai-node ignores a `Retry-After` beyond 60 s, openai-python one beyond 120 s. */
const RETRY_MS_MAX = 60_000

/**
 * The error object that the client reads, with the headers that steer their retries: the SDKs
 * try a 5xx three times unless told when (`retry-after-ms`, then `Retry-After`) or told not to
 * (`x-should-retry: false`). Pure.
 */
export function errorAnswer(code: ErrorCode, details: ErrorDetails): Answer {
  const { requestId, words = openAiWords, detail = '', param = null } = details
  const document = words(code, detail, { param, requestId })
  const body = `${JSON.stringify(document)}\n`
  return {
    status: ERRORS[code].status,
    headers: {
      ...baseHeaders('application/json', body, requestId),
      ...(mayRetry(code)
        ? retryHeaders(details.retryAfterMs ?? RETRY_MS)
        : { 'x-should-retry': 'false' }),
      // RFC 9110 §11.6.1 wants a challenge with every 401.
      ...(code === 'invalid_api_key' ? { 'www-authenticate': 'Bearer' } : {}),
      ...details.headers,
    },
    body,
    code,
  }
}

const openAiWords: ErrorWords = (code, detail, { param }) => toOpenAiBody(code, detail, param)

/** An answer that is not an error: `type` with its charset, `body` whole. Pure. */
export function plainAnswer(
  status: number,
  content: { readonly type: string; readonly body: string },
  requestId: string,
): Answer {
  return {
    status,
    headers: {
      ...baseHeaders(content.type, content.body, requestId),
      ...(status === 503 ? retryHeaders(RETRY_MS) : {}),
    },
    body: content.body,
    code: null,
  }
}

function baseHeaders(type: string, body: string, requestId: string): Record<string, string> {
  return {
    'content-type': type,
    'content-length': String(Buffer.byteLength(body)),
    // Every answer of ours is about this moment.
    'cache-control': 'no-store',
    'x-request-id': requestId,
    ...SAFETY_HEADERS,
  }
}

function retryHeaders(wantedMs: number): Record<string, string> {
  // A caller without an idea may hand over NaN or Infinity; the header must stay a number.
  const ms = Number.isNaN(wantedMs) ? RETRY_MS : wantedMs
  const clamped = Math.round(Math.min(Math.max(ms, RETRY_MS_MIN), RETRY_MS_MAX))
  return { 'retry-after': String(Math.ceil(clamped / 1000)), 'retry-after-ms': String(clamped) }
}
