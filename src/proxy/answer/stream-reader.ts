import { classifyEvent } from '../../api/answer.ts'
import type { EventVerdict } from '../../api/api.ts'
import { LargeEvent } from '../../api/large-event.ts'
import { EventSplitter, isRagged, StreamEnd } from '../../api/read.ts'
import { screenEvent } from '../../api/screen.ts'
import { Gather } from '../../core/gather.ts'
import {
  type AnswerReader,
  type Failure,
  failureOf,
  HELD_BYTES_MAX,
  NOTHING,
  type ReaderOptions,
  type Step,
} from './reader.ts'
import { replaceModel } from '../request/rewrite.ts'
import { spaceEnd } from '../request/scan-tokens.ts'
import { MadeId } from '../sticky.ts'

/** What is left over at a proper end goes on. */
const LAST: EventVerdict = { kind: 'end', content: false, finished: [], open: [] }
const TRUNCATED: Failure = {
  code: 'upstream_truncated',
  message: 'The stream ended without a finish_reason for every choice.',
}

/** mlx-lm 0.32: tokens of the prompt that are done, and all of them. */
const KEEPALIVE = /^:\s*keep-?alive (\d{1,9})\/\d{1,9}\s*$/

interface Read {
  readonly verdict: EventVerdict
  readonly failure: Failure | null
}

/**
 * Reads an event stream. Whole events go on as soon as they are whole, byte for byte unless a
 * model name is mapped; nothing goes on before the first content; an event that is an error goes
 * nowhere. A stream ends properly when every choice it showed has a proper finish reason.
 */
export class StreamReader implements AnswerReader {
  readonly #options: ReaderOptions
  readonly #splitter = new EventSplitter()
  readonly #end: StreamEnd
  /** Whole events, before the first content. */
  readonly #held = new Gather()
  #committed = false
  #signed = false
  /** Of the prompt, in whatever the engine counts. */
  #promptRead = -1
  /** The event that is passing by, as it is too large to be held. */
  #large: LargeEvent | null = null
  #named = false

  constructor(options: ReaderOptions) {
    this.#options = options
    this.#end = new StreamEnd(options.api, options.endRule ?? 'finish_reason')
  }

  push(chunk: Buffer): Step {
    const out: Buffer[] = []
    let content = 0
    let works = false
    for (const event of this.#splitter.push(chunk)) {
      // What follows the end of an answer does not belong to it, not even an error.
      if (this.complete()) break
      const large = this.#large
      const { verdict, failure } =
        large === null ? this.#read(event) : this.#readLarge(large, event)
      if (large !== null) out.push(event)
      else if (hasContent(verdict)) content++
      if (failure !== null) return { out, content, failure }
      if (large === null) this.#hand(event, verdict, out)
      if (!this.#committed && this.#isFurther(event)) works = true
    }
    if (this.#large !== null || this.#splitter.overflow) content += this.#passBy(out)
    if (this.#held.length <= HELD_BYTES_MAX) return { out, content, failure: null, works }
    const message = 'It sent a megabyte of events without content.'
    return { out, content, failure: { code: 'upstream_protocol_error', message } }
  }

  end(): Step {
    if (this.complete()) return NOTHING
    const rest = this.#splitter.tail()
    const large = this.#large
    // A last event may lack its blank line; the end of the body ends it.
    const { verdict, failure } = large === null ? this.#read(rest) : this.#readLarge(large, rest)
    if (failure !== null) return { ...NOTHING, failure }
    // What is left over and is nothing of an answer was cut: half a `[DONE]`, half a usage.
    const ragged = isRagged(large === null ? rest : large.end(), verdict)
    if (ragged || !this.#end.proper) return { ...NOTHING, failure: TRUNCATED }
    const out: Buffer[] = []
    if (large !== null) out.push(rest)
    else if (rest.length > 0) this.#hand(rest, LAST, out)
    return { ...NOTHING, out }
  }

  complete(): boolean {
    return this.#end.complete
  }

  /** Is it a comment that tells of more of the prompt than the one before (mlx-lm)? */
  #isFurther(event: Buffer): boolean {
    if (event[0] !== 0x3a) return false
    const read = Number(KEEPALIVE.exec(event.toString('latin1'))?.[1] ?? -1)
    const further = read > this.#promptRead
    if (further) this.#promptRead = read
    return further
  }

  /** What an event is; the cheap look suffices for most of them once content flows. */
  #read(event: Buffer): Read {
    const { api } = this.#options
    // The few events after an end may be of choices that have ended.
    const quick = this.#committed && !this.#end.reasoned ? screenEvent(api, event) : null
    const verdict = quick ?? classifyEvent(api, event)
    return { verdict, failure: this.#note(verdict) }
  }

  /** `rest`: the last of the event that passed by. */
  #readLarge(large: LargeEvent, rest: Buffer): Read {
    this.#large = null
    large.push(rest)
    const verdict = classifyEvent(this.#options.api, large.end())
    return { verdict, failure: this.#note(verdict) }
  }

  #note(verdict: EventVerdict): Failure | null {
    if (verdict.kind === 'error') return failureOf(this.#options.api, verdict)
    this.#end.note(verdict)
    this.#tellSign()
    return this.#end.broken ? TRUNCATED : null
  }

  #tellSign(): void {
    const sign = this.#signed ? null : this.#end.sign
    if (sign === null) return
    this.#signed = true
    this.#options.onEndSign?.(sign)
  }

  /** Holds an event, or lets it go together with all that were held. */
  #hand(event: Buffer, verdict: EventVerdict, out: Buffer[]): void {
    const { model } = this.#options
    const bytes = model === null ? event : replaceModel(event, model)
    // An answer may end without a visible token; its end is then the first thing to show.
    const shows = hasContent(verdict) || verdict.kind === 'end'
    this.#noteId(event)
    if (this.#committed || shows) this.#pass(bytes, out)
    else this.#held.push(bytes)
  }

  /** The first event of a response names it. */
  #noteId(event: Buffer): void {
    const { api, onId } = this.#options
    if (this.#named || api.id === undefined) return
    const id = new MadeId(api.id.event).push(event)
    if (id === null) return
    this.#named = true
    onId?.(id)
  }

  /** Lets what there is of a large event go on, and looks at it as it goes by. Answers how much
   *  content is told by that. */
  #passBy(out: Buffer[]): number {
    const begins = this.#large === null
    this.#large ??= new LargeEvent(this.#options.api)
    const piece = this.#splitter.spill()
    this.#large.push(piece)
    const { model } = this.#options
    this.#pass(begins && model !== null ? replaceModel(piece, model) : piece, out)
    return begins ? 1 : 0
  }

  /** These bytes go on, after what was held. */
  #pass(bytes: Buffer, out: Buffer[]): void {
    this.#committed = true
    if (this.#held.length > 0) out.push(this.#held.take())
    out.push(bytes)
  }
}

function hasContent(verdict: EventVerdict): boolean {
  return verdict.kind === 'content' || (verdict.kind === 'end' && verdict.content)
}

export type Form = 'events' | 'json'

/** What the client is told where the label of the upstream is wrong. */
export const TYPE_OF: Readonly<Record<Form, string>> = {
  events: 'text/event-stream; charset=utf-8',
  json: 'application/json',
}

/** By then it must have shown what it is; else its label decides. */
const LOOK_BYTES_MAX = 4 * 1024
const FIELDS = ['data:', 'event:', ':', 'id:', 'retry:', 'error:']
const BOM = Buffer.from('\uFEFF')

/**
 * Takes an answer for what its first bytes are, whatever its label says, and hands it to the reader
 * for that. A byte order mark at its beginning goes nowhere: only some clients know it.
 */
export class FormReader implements AnswerReader {
  readonly #label: Form
  /** May it be something else than its label says? */
  readonly #either: boolean
  readonly #readerFor: (form: Form) => AnswerReader
  readonly #start = new Gather()
  #reader: AnswerReader | null = null
  #form: Form | null = null

  constructor(label: Form, either: boolean, readerFor: (form: Form) => AnswerReader) {
    this.#label = label
    this.#either = either
    this.#readerFor = readerFor
  }

  /** The content type that is right; null: the upstream's own is. */
  get type(): string | null {
    return this.#form === null || this.#form === this.#label ? null : TYPE_OF[this.#form]
  }

  push(chunk: Buffer): Step {
    if (this.#reader !== null) return this.#reader.push(chunk)
    this.#start.push(chunk)
    const start = this.#start.whole()
    const form = formOf(start, this.#label, this.#either)
    return form === null && start.length < LOOK_BYTES_MAX
      ? NOTHING
      : this.#begin(form ?? this.#label)
  }

  end(): Step {
    if (this.#reader !== null) return this.#reader.end()
    const first = this.#begin(this.#label)
    if (first.failure !== null) return first
    const last = this.end()
    return { ...last, out: [...first.out, ...last.out], content: first.content + last.content }
  }

  complete(): boolean {
    return this.#reader?.complete() ?? false
  }

  #begin(form: Form): Step {
    this.#form = form
    this.#reader = this.#readerFor(form)
    const start = this.#start.take()
    return this.#reader.push(start.subarray(afterBom(start)))
  }
}

/** What it is by its first bytes, else by its label; null: more bytes will tell. */
function formOf(start: Buffer, label: Form, either: boolean): Form | null {
  if (start.length < BOM.length && BOM.subarray(0, start.length).equals(start)) return null
  if (!either) return label
  const at = spaceEnd(start, afterBom(start))
  if (at === start.length) return null
  if (start[at] === 0x7b) return 'json'
  const text = start.toString('latin1', at, at + 6)
  if (FIELDS.some((field) => text.startsWith(field))) return 'events'
  return FIELDS.some((field) => field.startsWith(text)) ? null : label
}

function afterBom(start: Buffer): number {
  return start.subarray(0, BOM.length).equals(BOM) ? BOM.length : 0
}
