import {
  type AnswerApi,
  classifyEvent,
  type EventVerdict,
  judgeJson,
  screenEvent,
} from '../core/answer.ts'
import type { ErrorCode } from '../errors/catalogue.ts'
import { replaceModel } from './rewrite.ts'
import { EventSplitter } from './sse.ts'

/** What reading a piece of an answer came to. */
export interface Step {
  /** Bytes that may go to the client now. The first non-empty one is the commit. */
  readonly out: readonly Buffer[]
  /** Content events that were read, whether they go out now or not. */
  readonly content: number
  readonly failure: Failure | null
}

export interface Failure {
  readonly code: ErrorCode
  readonly message: string
}

/** Reads an upstream's answer as it arrives and says what may go on. */
export interface AnswerReader {
  push(chunk: Buffer): Step
  /** The body ended as its framing says. */
  end(): Step
  /** Has everything that makes an answer complete arrived, whatever the connection does now? */
  complete(): boolean
}

export interface ReaderOptions {
  readonly api: AnswerApi
  /** Choices that the client asked for. */
  readonly n: number
  /** The model name to write into the answer; null: leave it as it is. */
  readonly model: string | null
}

/** Held before the first content, and of a JSON answer before it is judged (design D6). */
const HELD_BYTES_MAX = 1024 * 1024
/** Kept of a stream whose events are too large to be looked at, to see how it ends. */
const TAIL_BYTES = 16 * 1024

const TRUNCATED: Failure = {
  code: 'upstream_truncated',
  message: 'The stream ended without a finish_reason.',
}

/**
 * Reads an event stream. Whole events go on as soon as they are whole, byte for byte unless a
 * model name is mapped; nothing goes on before the first content; an event that is an error goes
 * nowhere. A stream ends properly when every choice it showed has a proper finish reason.
 */
export class StreamReader implements AnswerReader {
  readonly #options: ReaderOptions
  readonly #splitter = new EventSplitter()
  readonly #open = new Set<number>()
  #held: Buffer[] = []
  #heldBytes = 0
  #committed = false
  #finished = false
  #done = false
  #raw: Buffer | null = null

  constructor(options: ReaderOptions) {
    this.#options = options
  }

  push(chunk: Buffer): Step {
    if (this.#raw !== null) return { out: [this.#keepTail(chunk)], content: 1, failure: null }
    const out: Buffer[] = []
    let content = 0
    for (const event of this.#splitter.push(chunk)) {
      const { verdict, failure } = this.#read(event)
      if (verdict !== null && hasContent(verdict)) content++
      if (failure !== null) return { out, content, failure }
      this.#hand(event, verdict, out)
    }
    if (this.#splitter.overflow) return this.#goRaw(out, content + 1)
    if (this.#heldBytes <= HELD_BYTES_MAX) return { out, content, failure: null }
    const message = 'It sent a megabyte of events without content.'
    return { out, content, failure: { code: 'upstream_protocol_error', message } }
  }

  end(): Step {
    if (this.#raw !== null) {
      const failure = endsProperly(this.#raw) ? null : TRUNCATED
      return { out: [], content: 0, failure }
    }
    const rest = this.#splitter.tail()
    // A last event may lack its blank line; the end of the body ends it.
    const { failure } = rest.length > 0 ? this.#read(rest) : { failure: null }
    if (failure !== null) return { out: [], content: 0, failure }
    if (!this.#proper()) return { out: [], content: 0, failure: TRUNCATED }
    const out: Buffer[] = []
    if (rest.length > 0)
      this.#hand(rest, { kind: 'end', content: false, finished: [], open: [] }, out)
    return { out, content: 0, failure: null }
  }

  complete(): boolean {
    return this.#raw === null ? this.#done && this.#proper() : this.#raw.includes('[DONE]')
  }

  #proper(): boolean {
    return this.#finished && this.#open.size === 0
  }

  /** What an event is; the cheap look suffices for most of them once content flows. */
  #read(event: Buffer): { verdict: EventVerdict; failure: Failure | null } {
    const { api, n } = this.#options
    const quick = this.#committed && n === 1 ? screenEvent(api, event) : null
    const verdict = quick ?? classifyEvent(api, event)
    return { verdict, failure: this.#note(verdict) }
  }

  #note(verdict: EventVerdict): Failure | null {
    switch (verdict.kind) {
      case 'neutral':
        return null
      case 'content':
        for (const index of verdict.open) this.#open.add(index)
        return null
      case 'end':
        this.#finished = true
        for (const index of verdict.open) this.#open.add(index)
        for (const index of verdict.finished) this.#open.delete(index)
        return null
      case 'done':
        this.#done = true
        return this.#proper() ? null : TRUNCATED
      case 'error': {
        const code = verdict.why === 'abort' ? 'upstream_truncated' : 'upstream_error'
        return { code, message: verdict.message }
      }
    }
  }

  /** Holds an event, or lets it go together with all that were held. */
  #hand(event: Buffer, verdict: EventVerdict, out: Buffer[]): void {
    const { model } = this.#options
    const bytes = model === null ? event : replaceModel(event, model)
    // An answer may end without a visible token; its end is then the first thing to show.
    this.#committed ||= hasContent(verdict) || verdict.kind === 'end'
    if (this.#committed) {
      if (this.#held.length > 0) out.push(...this.#held)
      this.#held = []
      this.#heldBytes = 0
      out.push(bytes)
    } else {
      this.#held.push(bytes)
      this.#heldBytes += bytes.length
    }
  }

  /** One event is larger than what we look at: let it through, and watch only how it all ends. */
  #goRaw(out: Buffer[], content: number): Step {
    this.#committed = true
    out.push(...this.#held, this.#keepTail(this.#splitter.tail()))
    this.#held = []
    return { out, content, failure: null }
  }

  #keepTail(chunk: Buffer): Buffer {
    const all = this.#raw === null ? chunk : Buffer.concat([this.#raw, chunk])
    this.#raw = Buffer.from(all.subarray(Math.max(0, all.length - TAIL_BYTES)))
    return chunk
  }
}

/**
 * Reads a JSON answer: held to its end and judged, then passed on; beyond a megabyte it commits
 * and streams, and its framing alone says whether it is whole.
 */
export class BodyReader implements AnswerReader {
  readonly #options: ReaderOptions
  #held: Buffer[] = []
  #heldBytes = 0
  #streaming = false

  constructor(options: ReaderOptions) {
    this.#options = options
  }

  push(chunk: Buffer): Step {
    if (this.#streaming) return { out: [chunk], content: 0, failure: null }
    this.#held.push(chunk)
    this.#heldBytes += chunk.length
    if (this.#heldBytes <= HELD_BYTES_MAX) return { out: [], content: 0, failure: null }
    this.#streaming = true
    return { out: [this.#mapped()], content: 0, failure: null }
  }

  end(): Step {
    if (this.#streaming) return { out: [], content: 0, failure: null }
    const body = Buffer.concat(this.#held)
    const verdict = judgeJson(this.#options.api, body)
    if (verdict.ok) return { out: [this.#mapped()], content: 0, failure: null }
    return {
      out: [],
      content: 0,
      failure: { code: CODE_OF[verdict.why], message: verdict.message },
    }
  }

  complete(): boolean {
    return false
  }

  #mapped(): Buffer {
    const body =
      this.#held.length === 1 && this.#held[0] ? this.#held[0] : Buffer.concat(this.#held)
    this.#held = []
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

function hasContent(verdict: EventVerdict): boolean {
  return verdict.kind === 'content' || (verdict.kind === 'end' && verdict.content)
}

/** Does the tail of a stream that was too large to read look like a proper end? */
function endsProperly(tail: Buffer): boolean {
  const text = tail.toString('latin1')
  return /"finish_reason"\s*:\s*"(?!abort"|error")/.test(text)
}
