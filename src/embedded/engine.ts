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

/** How a generation ended by itself. */
export interface Generated {
  /** `stop`: end of text or a stop string. `length`: the token limit. */
  readonly finishReason: 'stop' | 'length'
  readonly promptTokens: number
  /** At least 1: the token that ends a text counts. */
  readonly completionTokens: number
}

/** What generates behind the embedded server. */
export interface Engine {
  /** `toy`: the generated word-pair model; `gguf`: a model of the operator's. */
  readonly kind: 'toy' | 'gguf'
  readonly modelId: string
  /** Tokens that prompt and answer may take together. */
  readonly contextTokens: number
  /** Generations that run now, and requests that wait for one to end. */
  load(): { readonly running: number; readonly waiting: number }
  /** Generates, handing over pieces as they come. Rejects if the engine fails, or with a `Refusal`
   *  before the first piece. Null: the signal aborted, the client left. */
  generate(
    job: Job,
    signal: AbortSignal,
    onPiece: (piece: Piece) => void,
  ): Promise<Generated | null>
  /** Frees the model. No generation may run. */
  close(): Promise<void>
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

/** An HTTP answer of the embedded engine other than a generation. Thrown by whatever finds the fault,
 *  caught by the server only; nothing has been answered by then. */
export class Refusal extends Error {
  readonly code: keyof typeof STATUSES
  /** The field of the body that is wrong, or null. */
  readonly param: string | null

  /** `message` says what to change. */
  constructor(code: keyof typeof STATUSES, message: string, param: string | null = null) {
    super(message)
    this.code = code
    this.param = param
  }

  get status(): number {
    return STATUSES[this.code]
  }

  /** The error object that OpenAI clients read, all four keys. */
  get body(): object {
    const { message, param, code } = this
    const type = this.status >= 500 ? 'server_error' : 'invalid_request_error'
    return { error: { message, type, param, code } }
  }
}
