import { fieldsOf, objectOf } from '../core/answer-read.ts'
import { tailEndsProperly } from '../core/answer-tail.ts'
import { classifyEvent, type EventVerdict, screenEvent } from '../core/answer.ts'
import {
  type AnswerReader,
  type Failure,
  HELD_BYTES_MAX,
  type ReaderOptions,
  type Step,
} from './reader.ts'
import { replaceModel } from './rewrite.ts'
import { EventSplitter } from './sse.ts'
import { madeId } from './sticky.ts'

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
  #named = false

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
      const proper = tailEndsProperly(this.#options.api, this.#raw.toString('latin1'))
      const failure = proper ? null : TRUNCATED
      return { out: [], content: 0, failure }
    }
    const rest = this.#splitter.tail()
    // A last event may lack its blank line; the end of the body ends it.
    const { verdict, failure } =
      rest.length > 0 ? this.#read(rest) : { verdict: null, failure: null }
    if (failure !== null) return { out: [], content: 0, failure }
    // What is left over and is nothing of an answer was cut: half a `[DONE]`, half a usage.
    const ragged = verdict?.kind === 'neutral' && isRagged(rest)
    if (ragged || !this.#proper()) return { out: [], content: 0, failure: TRUNCATED }
    const out: Buffer[] = []
    if (rest.length > 0)
      this.#hand(rest, { kind: 'end', content: false, finished: [], open: [] }, out)
    return { out, content: 0, failure: null }
  }

  complete(): boolean {
    const { api } = this.#options
    if (this.#raw !== null) return tailEndsProperly(api, this.#raw.toString('latin1'))
    // A stream of responses has no `[DONE]`: its last event is its end.
    return (this.#done || api === 'responses') && this.#proper()
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
    this.#noteId(event)
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

  /** The first event of a response names it. */
  #noteId(event: Buffer): void {
    const { api, onId } = this.#options
    if (this.#named || api !== 'responses') return
    const id = madeId(event)
    if (id === null) return
    this.#named = true
    onId?.(id)
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

function hasContent(verdict: EventVerdict): boolean {
  return verdict.kind === 'content' || (verdict.kind === 'end' && verdict.content)
}

/** Is this half an event? Blank lines, comments and whole objects may be the last of a stream. */
function isRagged(rest: Buffer): boolean {
  const text = rest.toString('utf8').trim()
  if (text === '' || text.startsWith(':')) return false
  return objectOf(fieldsOf(text).data) === null
}
