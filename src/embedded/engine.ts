import type { Refusal } from './refusal.ts'
import type { Job } from './request.ts'

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
