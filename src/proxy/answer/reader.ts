import { judgeJson } from '../../api/answer.ts'
import type { AnswerApi, Fault } from '../../api/api.ts'
import { type Mistake, mistakeOf } from '../../api/frame.ts'
import type { EndCode } from '../../core/exchange/exchange.ts'
import { Gather } from '../../core/gather.ts'
import type { EndRule, EndSign } from '../../core/health/evidence.ts'
import { replaceModel } from '../request/rewrite.ts'
import { MadeId } from '../sticky.ts'

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

/** Nothing goes on. */
export const NOTHING: Step = { out: [], content: 0, failure: null }

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

/** Held of a JSON answer that is to become events, instead of the usual limit. */
const WRAPPED_BYTES_MAX = 16 * HELD_BYTES_MAX

const UNWRAPPED: Failure = {
  code: 'upstream_protocol_error',
  message: 'It answered a stream with a body that cannot be made one.',
}

/**
 * Reads a JSON answer: held to its end and judged, then passed on; beyond a megabyte it commits
 * and streams, and its framing alone says whether it is whole.
 */
export class BodyReader implements AnswerReader {
  readonly #options: ReaderOptions
  readonly #held = new Gather()
  #streaming = false
  #finder: MadeId | null
  #id: string | null = null

  constructor(options: ReaderOptions) {
    this.#options = options
    this.#finder = options.api.id ? new MadeId(options.api.id.whole) : null
  }

  push(chunk: Buffer): Step {
    this.#id ??= this.#finder?.push(chunk) ?? null
    if (this.#streaming) this.#tellId()
    if (this.#streaming) return { out: [chunk], content: 0, failure: null }
    this.#held.push(chunk)
    // What is to be turned into events must be there whole.
    const wraps = this.#options.wrap != null
    if (this.#held.length <= (wraps ? WRAPPED_BYTES_MAX : HELD_BYTES_MAX)) return NOTHING
    if (wraps) return { ...NOTHING, failure: UNWRAPPED }
    this.#streaming = true
    this.#tellId()
    return { out: [this.#mapped()], content: 0, failure: null }
  }

  end(): Step {
    if (this.#streaming) return NOTHING
    const { api, wrap } = this.#options
    const body = this.#held.whole()
    const fault = judgeJson(api, body)
    if (fault !== null) return { ...NOTHING, failure: failureOf(api, fault) }
    this.#tellId()
    const mapped = this.#mapped()
    const answer = wrap == null ? mapped : wrap(mapped)
    return answer === null ? { ...NOTHING, failure: UNWRAPPED } : { ...NOTHING, out: [answer] }
  }

  /** Tells the id of an answer that goes on, once. */
  #tellId(): void {
    if (this.#id === null || this.#finder === null) return
    this.#finder = null
    this.#options.onId?.(this.#id)
  }

  complete(): boolean {
    return false
  }

  #mapped(): Buffer {
    const body = this.#held.take()
    return this.#options.model === null ? body : replaceModel(body, this.#options.model)
  }
}

const CODE_OF = {
  empty: 'upstream_protocol_error',
  not_json: 'upstream_protocol_error',
  no_choices: 'upstream_protocol_error',
  error: 'upstream_error',
  abort: 'upstream_truncated',
} as const satisfies Record<Fault['why'], EndCode>

/** What a fault in an answer means for the request. */
export function failureOf(api: AnswerApi, { why, message, said }: Fault): Failure {
  return { code: CODE_OF[why], message, mistake: mistakeOf(api, said) }
}
