import { type ErrorCode, ERRORS } from './catalogue.ts'

/** The types that the OpenAI error object knows; SDKs pick their class by status, not by this. */
export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'rate_limit_error'
  | 'server_error'

export interface OpenAiError {
  readonly error: {
    readonly message: string
    readonly type: ErrorType
    readonly param: string | null
    readonly code: ErrorCode
  }
}

/** Longest message that goes to a client, characters. */
const MESSAGE_MAX = 1_000

/** The error object that OpenAI clients read, all four keys. `detail` is appended to the message. */
export function toOpenAiBody(
  code: ErrorCode,
  detail = '',
  param: string | null = null,
): OpenAiError {
  const { message, status } = ERRORS[code]
  const text = detail === '' ? message : `${message} ${detail}`
  return { error: { message: clip(text, MESSAGE_MAX), type: errorTypeOf(status), param, code } }
}

/** The error object that Anthropic's clients read, with our `param` and `code` inside. Pure. */
export function toAnthropicBody(
  code: ErrorCode,
  detail: string,
  about: { readonly param: string | null; readonly requestId: string },
): object {
  const { message, param } = toOpenAiBody(code, detail, about.param).error
  const error = { type: anthropicTypeOf(code), message, param, code }
  return { type: 'error', error, request_id: about.requestId }
}

/** Is this a path of Anthropic's API, whose clients read errors in its shape? Pure. */
export function isAnthropic(path: string): boolean {
  return path === '/v1/messages' || path.startsWith('/v1/messages/')
}

/** By status (https://docs.anthropic.com/en/api/errors). */
const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  421: 'permission_error',
  503: 'overloaded_error',
}

/** Anthropic's word for an error of ours. Pure. */
export function anthropicTypeOf(code: ErrorCode): string {
  return anthropicTypeOfStatus(ERRORS[code].status)
}

/** The type that goes with a status there. */
export function anthropicTypeOfStatus(status: number): string {
  return ANTHROPIC_TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error')
}

/** The OpenAI error type that goes with a status. */
export function errorTypeOf(status: number): ErrorType {
  if (status === 401) return 'authentication_error'
  if (status === 403 || status === 421) return 'permission_error'
  if (status === 429) return 'rate_limit_error'
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}

/** May the client try again? Then it is told when. */
export function mayRetry(code: ErrorCode): boolean {
  return 'retry' in ERRORS[code]
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
