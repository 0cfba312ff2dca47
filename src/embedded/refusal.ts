/** An HTTP answer of the embedded engine that is no generation: a value, never an exception. */
export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
  /** The field of the body that is wrong, or null. */
  readonly param: string | null
}

/** Statuses by code. The codes that OpenAI, vLLM or llama.cpp also use are spelt like theirs. */
const STATUSES = {
  invalid_json: 400,
  invalid_value: 400,
  context_length_exceeded: 400,
  model_not_found: 404,
  not_found: 404,
  method_not_allowed: 405,
  request_too_large: 413,
  unsupported_media_type: 415,
  internal_error: 500,
  not_supported: 501,
  queue_full: 503,
} as const
export type RefusalCode = keyof typeof STATUSES

/** A refusal by its code; `message` says what to change. */
export function refusal(code: RefusalCode, message: string, param: string | null = null): Refusal {
  return { status: STATUSES[code], code, message, param }
}

/** The error object that OpenAI clients read, all four keys. */
export function refusalBody({ status, code, message, param }: Refusal): object {
  const type = status >= 500 ? 'server_error' : 'invalid_request_error'
  return { error: { message, type, param, code } }
}
