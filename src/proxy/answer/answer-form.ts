import { Gather } from '../../core/gather.ts'
import type { AnswerReader, Step } from './reader.ts'

export type Form = 'events' | 'json'

/** What the client is told where the label of the upstream is wrong. */
export const TYPE_OF: Readonly<Record<Form, string>> = {
  events: 'text/event-stream; charset=utf-8',
  json: 'application/json',
}

/** By then it must have shown what it is; else its label decides. */
const LOOK_BYTES_MAX = 4 * 1024
const FIELDS = ['data:', 'event:', ':', 'id:', 'retry:', 'error:']
const BOM = [0xef, 0xbb, 0xbf]
const NOTHING: Step = { out: [], content: 0, failure: null }

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

  constructor(label: Form, how: { either: boolean; readerFor: (form: Form) => AnswerReader }) {
    this.#label = label
    this.#either = how.either
    this.#readerFor = how.readerFor
  }

  /** The content type that is right; null: the upstream's own is. */
  get type(): string | null {
    return this.#form === null || this.#form === this.#label ? null : TYPE_OF[this.#form]
  }

  push(chunk: Buffer): Step {
    if (this.#reader !== null) return this.#reader.push(chunk)
    this.#start.push(chunk)
    const start = this.#start.whole()
    const form = formOf(start, this.#either)
    if (form === 'unclear' && start.length < LOOK_BYTES_MAX) return NOTHING
    return this.#begin(form === 'events' || form === 'json' ? form : this.#label)
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

/** `unclear`: more bytes will tell. `other`: neither. */
function formOf(start: Buffer, either: boolean): Form | 'unclear' | 'other' {
  if (
    start.length < BOM.length &&
    BOM.slice(0, start.length).every((byte, i) => start[i] === byte)
  ) {
    return 'unclear'
  }
  if (!either) return 'other'
  let at = afterBom(start)
  while (at < start.length && isSpace(start[at])) at += 1
  if (at === start.length) return 'unclear'
  if (start[at] === 0x7b) return 'json'
  const text = start.toString('latin1', at, at + 6)
  if (FIELDS.some((field) => text.startsWith(field))) return 'events'
  return FIELDS.some((field) => field.startsWith(text)) ? 'unclear' : 'other'
}

function afterBom(start: Buffer): number {
  return BOM.every((byte, i) => start[i] === byte) ? BOM.length : 0
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}
