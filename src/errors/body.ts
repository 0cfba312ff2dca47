import { type ErrorCode, ERRORS } from './catalogue.ts'

/** Longest message that goes to a client, characters. */
const MESSAGE_MAX = 1_000

/** The error object that OpenAI clients read, all four keys. `detail` is appended to the message. */
export function toOpenAiBody(code: ErrorCode, detail = '', param: string | null = null) {
  const { message, status } = ERRORS[code]
  const text = detail === '' ? message : `${message} ${detail}`
  return { error: { message: clip(text, MESSAGE_MAX), type: errorTypeOf(status), param, code } }
}

/** A whole error body of the gate's own, as the clients of one API read it. */
export type ErrorWords = (
  code: ErrorCode,
  detail: string,
  about: { readonly param: string | null; readonly requestId: string },
) => object

/** The OpenAI error type that goes with a status; SDKs pick their class by status, not by this. */
export function errorTypeOf(status: number): string {
  if (status === 401) return 'authentication_error'
  if (status === 403 || status === 421) return 'permission_error'
  if (status === 429) return 'rate_limit_error'
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}

/** May the client try the same request again? Then it is told when; else `x-should-retry: false`. */
export function mayRetry(code: ErrorCode): boolean {
  const { status } = ERRORS[code]
  return status >= 502 && status <= 504 && !('final' in ERRORS[code])
}

/** Cuts `text` to `max` characters and escapes what could forge a line or colour a terminal. */
export function clip(text: string, max: number): string {
  if (text.length <= max && PRINTABLE.test(text)) return text
  // Control characters, DEL, C1, and the two line separators that JSON leaves alone.
  const safe = text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '\uFFFD')
  return safe.length > max ? `${safe.slice(0, max - 1)}…` : safe
}

/** ASCII that needs no escape: nearly every text. */
const PRINTABLE = /^[ -~]*$/
