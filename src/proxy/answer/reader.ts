import type { EndRule, EndSign } from '../../core/health/evidence.ts'
import type { AnswerApi } from '../../api/api.ts'
import type { EndCode } from '../../core/exchange/ending.ts'
import type { Mistake } from '../../api/frame.ts'

/** What reading a piece of an answer came to. */
export interface Step {
  /** Bytes that may go to the client now. The first non-empty one is the commit. */
  readonly out: readonly Buffer[]
  /** Content events that were read, whether they go out now or not. */
  readonly content: number
  readonly failure: Failure | null
  /** Was the engine seen to go on with the prompt? */
  readonly works?: boolean
}

export interface Failure {
  readonly code: EndCode
  readonly message: string
  /** The engine says that the request is at fault; absent or null: it is not known to be. */
  readonly mistake?: Mistake | null
}

/** Reads an upstream's answer as it arrives and says what may go on. */
export interface AnswerReader {
  push(chunk: Buffer): Step
  /** The body ended as its framing says. */
  end(): Step
  /** Has everything that makes an answer complete arrived, whatever the connection does now? */
  complete(): boolean
  /** The content type of what goes on; null or absent: the upstream's own. */
  readonly type?: string | null
}

export interface ReaderOptions {
  readonly api: AnswerApi
  /** What ends a stream there; absent: a reason for every choice. */
  readonly endRule?: EndRule | undefined
  /** Called when a stream has shown what ends the streams there, while that is being learned. */
  readonly onEndSign?: (sign: EndSign) => void
  /** The model name to write into the answer; null: leave it as it is. */
  readonly model: string | null
  /** Called with the id of a response that clients may refer to later. */
  readonly onId?: (id: string) => void
  /** Turns a JSON answer into the events that the client asked for; null: it is not to be. */
  readonly wrap?: ((body: Buffer) => Buffer | null) | null
}

/** Held before the first content, and of a JSON answer before it is judged (docs/decisions/0003). */
export const HELD_BYTES_MAX = 1024 * 1024

/** Judges nothing: what comes goes on, and the framing says whether it is whole. */
export class RawReader implements AnswerReader {
  push(chunk: Buffer): Step {
    return { out: [chunk], content: 0, failure: null }
  }

  end(): Step {
    return { out: [], content: 0, failure: null }
  }

  complete(): boolean {
    return false
  }
}
