/** The two routes that generate; the answer's shape follows from it. */
export type Route = 'chat' | 'completions'

/** One turn of a conversation, text only. `tool` results arrive as `user`. */
export interface Turn {
  readonly role: 'system' | 'user' | 'assistant'
  readonly text: string
}

/** What the model is to continue. */
export type Prompt =
  | { readonly kind: 'turns'; readonly turns: readonly Turn[] }
  | { readonly kind: 'text'; readonly text: string }

/** One generation as asked for, parsed. null: the client left it to the engine. */
export interface Job {
  readonly route: Route
  readonly prompt: Prompt
  readonly maxTokens: number | null
  readonly stop: readonly string[]
  readonly seed: number | null
  readonly temperature: number | null
  readonly topP: number | null
  /** Go on after the end-of-text token, as vLLM and llama.cpp do: for load tests. */
  readonly ignoreEos: boolean
  readonly stream: boolean
  readonly includeUsage: boolean
}

/** A piece of generated text, as it becomes certain. */
export interface Piece {
  /** Is it part of a model's reasoning, not of its answer? */
  readonly reasoning: boolean
  readonly text: string
}

/** How a generation ended. */
export type Generated =
  | {
      readonly kind: 'finished'
      /** `stop`: end of text or a stop string. `length`: the token limit. */
      readonly finishReason: 'stop' | 'length'
      readonly promptTokens: number
      /** At least 1: the token that ends a text counts. */
      readonly completionTokens: number
    }
  /** The signal aborted: the client left. */
  | { readonly kind: 'aborted' }
  /** Nothing was generated. */
  | { readonly kind: 'refused'; readonly refusal: Refusal }

/** What generates behind the embedded server. */
export interface Engine {
  /** `toy`: the generated word-pair model; `gguf`: a model of the operator's. */
  readonly kind: 'toy' | 'gguf'
  readonly modelId: string
  /** Tokens that prompt and answer may take together. */
  readonly contextTokens: number
  /** Generations that run now, and requests that wait for one to end. */
  load(): { readonly running: number; readonly waiting: number }
  /** Generates, handing over pieces as they come. Rejects only if the engine fails. */
  generate(job: Job, signal: AbortSignal, onPiece: (piece: Piece) => void): Promise<Generated>
  /** Frees the model. No generation may run. */
  close(): Promise<void>
}

/** An HTTP answer of the embedded engine other than a generation: a value, never an exception. */
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
