import { Gather } from '../../core/gather.ts'
import { judgeJson } from '../../api/answer.ts'
import type { ErrorCode } from '../../errors/catalogue.ts'
import {
  type AnswerReader,
  type Failure,
  HELD_BYTES_MAX,
  type ReaderOptions,
  type Step,
} from './reader.ts'
import { mistakeOf } from '../../api/frame.ts'
import { replaceModel } from '../request/rewrite.ts'
import { MadeId } from '../sticky.ts'

/** Held of a JSON answer that is to become events, instead of the usual limit. */
const WRAPPED_BYTES_MAX = 16 * HELD_BYTES_MAX

const NOTHING: Step = { out: [], content: 0, failure: null }
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
    this.#finder = options.api.id === null ? null : new MadeId(options.api.id.whole)
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
    const verdict = judgeJson(api, body)
    if (!verdict.ok) {
      const mistake = mistakeOf(api, verdict.said)
      return {
        ...NOTHING,
        failure: { code: CODE_OF[verdict.why], message: verdict.message, mistake },
      }
    }
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
} as const satisfies Record<string, ErrorCode>
