import { isUtf8 } from 'node:buffer'
import type { ErrorCode } from '../../errors/catalogue.ts'
import type { Clock } from '../../runtime/clock.ts'
import {
  FOLDED_WORD,
  likeness,
  isNumber,
  scalarEnd,
  QUOTE,
  SAME_WORD,
  spaceEnd,
  textEnd,
} from './scan-tokens.ts'

/** What the gate needs of a request body. Every value is what `JSON.parse` would give. */
export interface ScannedBody {
  readonly ok: true
  /** The name the client wrote, and its token with the quotes; null: absent or `null`. */
  readonly model: (Span & { readonly value: string }) | null
  /** The token of the value of `model`, also where it is `null`; null: there is no such key. */
  readonly modelSpan: Span | null
  readonly stream: boolean
  /** The larger of `max_tokens` and `max_completion_tokens`; null: no bound was given. */
  readonly maxTokens: number | null
  /** The response that this one goes on from; null: absent, or no string. */
  readonly previousId: string | null
  /** Offset after the opening brace. */
  readonly insertAt: number
  /** Does the object have no member? */
  readonly empty: boolean
}

export type ScanResult =
  | ScannedBody
  | { readonly ok: false; readonly code: ErrorCode; readonly param: string | null }

/** Of a body that nobody looks into. */
export const UNREAD: ScannedBody = {
  ok: true,
  model: null,
  modelSpan: null,
  stream: false,
  maxTokens: null,
  previousId: null,
  insertAt: 0,
  empty: true,
}

/** Bytes that are scanned in one turn: 10 ms of the worst ones. Smaller bodies take one turn. */
export const SLICE_BYTES = 1024 * 1024
/** UTF-16 units of a model name. */
const MODEL_MAX = 256
/** No character takes more bytes than an escape such as `\u0065`. */
const BYTES_PER_CHAR_MAX = 6

/**
 * Reads the few top-level fields that routing needs, and proves the body valid, without building
 * the tree. Agrees with `JSON.parse` on every input but for the limits above: what it accepts
 * parses, and of a key that occurs twice the last one counts, however it is spelled. What engines
 * in Go would read differently is refused: keys in another case, and null after a value.
 */
export function scanBody(bytes: Buffer): ScanResult {
  if (!isUtf8(bytes)) return fail('invalid_utf8')
  const walk = new Walk(bytes)
  return resultOf(bytes, walk, walk.run(bytes.length) ?? null)
}

/** The same of a body of any size, a megabyte in each turn of the event loop: in one go the worst 60
 *  MiB (escapes, white space) would keep everybody else waiting for 0.2 s and more. */
export async function scanLargeBody(bytes: Buffer, clock: Clock): Promise<ScanResult> {
  if (!isUtf8(bytes)) return fail('invalid_utf8')
  const walk = new Walk(bytes)
  let end = SLICE_BYTES
  let flaw = walk.run(end)
  while (flaw === undefined) {
    const { promise, resolve } = Promise.withResolvers<void>()
    clock.after(1, resolve)
    await promise
    end += SLICE_BYTES
    flaw = walk.run(end)
  }
  return resultOf(bytes, walk, flaw)
}

function resultOf(bytes: Buffer, walk: Walk, flaw: SyntaxFlaw | null): ScanResult {
  if (flaw !== null) return fail(flaw)
  const open = spaceEnd(bytes, 0)
  if (bytes[open] !== 0x7b) return fail('invalid_body')
  const { spans, variant } = walk
  const ambiguous = variant === null ? walk.cleared : textOf(bytes, variant)
  if (ambiguous !== null) return fail('ambiguous_key', ambiguous)
  const model = modelOf(bytes, spans.model)
  if (model === undefined) return fail('invalid_model', 'model')
  const stream = booleanOf(bytes, spans.stream)
  if (stream === undefined) return fail('invalid_type', 'stream')
  // Engines differ in which of the two they heed, and a negative one means no bound.
  const [a, b] = [numberOf(bytes, spans.max_tokens), numberOf(bytes, spans.max_completion_tokens)]
  const bound = Math.max(a ?? -1, b ?? -1)
  return {
    ok: true,
    model,
    modelSpan: spans.model ?? null,
    stream,
    maxTokens: bound < 0 ? null : bound,
    previousId: stringOf(bytes, spans.previous_response_id),
    insertAt: open + 1,
    empty: walk.members === 0,
  }
}

/** The text of a string token that has been checked. */
function textOf(bytes: Buffer, { start, end }: Span): string {
  const raw = bytes.toString('utf8', start + 1, end - 1)
  return raw.includes('\\') ? String(JSON.parse(`"${raw}"`)) : raw
}

/** The model; null where there is none, undefined where the name is not acceptable. */
function modelOf(bytes: Buffer, span: Span | undefined): ScannedBody['model'] | undefined {
  if (span === undefined || isNull(bytes, span)) return null
  if (bytes[span.start] !== QUOTE) return undefined
  if (span.end - span.start - 2 > MODEL_MAX * BYTES_PER_CHAR_MAX) return undefined
  const value = textOf(bytes, span)
  return value.length > MODEL_MAX ? undefined : { value, ...span }
}

/** A string of sane length; null for anything else. */
function stringOf(bytes: Buffer, span: Span | undefined): string | null {
  if (span === undefined || bytes[span.start] !== QUOTE || span.end - span.start > 2_000)
    return null
  return textOf(bytes, span)
}

function booleanOf(bytes: Buffer, span: Span | undefined): boolean | undefined {
  if (span === undefined || isNull(bytes, span)) return false
  if (bytes[span.start] === 0x74) return true
  return bytes[span.start] === 0x66 ? false : undefined
}

/** A finite number; null for anything else. */
function numberOf(bytes: Buffer, span: Span | undefined): number | null {
  if (span === undefined || !isNumber(bytes[span.start] ?? 0)) return null
  const value = Number(bytes.toString('latin1', span.start, span.end))
  return Number.isFinite(value) ? value : null
}

function isNull(bytes: Buffer, span: Span): boolean {
  return bytes[span.start] === NULL_FIRST
}

function fail(code: ErrorCode, param: string | null = null): ScanResult {
  return { ok: false, code, param }
}

/** A byte range: from `start` up to, not including, `end`. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** What may be wrong with the JSON itself. */
export type SyntaxFlaw = 'invalid_json' | 'json_too_deep' | 'json_too_complex'

const BROKEN = 'invalid_json'
/** Levels of objects and arrays; real requests stay below 30, upstreams recurse (Python: 1000). */
const DEPTH_MAX = 200
/** Objects, arrays, strings and words in one body: what makes a reader build much from little. Numbers
 *  do not count: a million tokens as an input are an honest request. */
const VALUES_MAX = 1_000_000
/** Members of the body itself, whose names are compared with ours. Real requests have under 50. */
const MEMBERS_MAX = 100_000
/** Bytes of one number. Nobody asks with longer ones; Python refuses 4300 digits itself. */
const NUMBER_MAX = 10_000

const FIELDS = [
  'model',
  'stream',
  'n',
  'max_tokens',
  'max_completion_tokens',
  'previous_response_id',
] as const
type Field = (typeof FIELDS)[number]
/** The first byte of `null`, and of no other value. */
const NULL_FIRST = 0x6e

/** What may come next. */
const VALUE = 0
/** A value or the end of the list that has just begun. */
const ITEM_OR_END = 1
const KEY = 2
const KEY_OR_END = 3
const COLON = 4
/** A comma, or the end of what is open. */
const NEXT = 5

/** Walks a whole body, notes the values of top-level fields, and finds what is wrong with it. It may
 *  rest anywhere in between, and go on later. */
export class Walk {
  /** Where the last value of each field lies. */
  readonly spans: Partial<Record<Field, Span>> = {}
  /** The first key that equals one of ours but for its case. */
  variant: Span | null = null
  /** How many members the body has, of whatever name. */
  members = 0
  /** Fields that have had a value other than `null`. */
  readonly #valued: Partial<Record<Field, true>> = {}
  readonly #bytes: Buffer
  readonly #closers = new Uint8Array(DEPTH_MAX + 1)
  #depth = 0
  #values = 0
  /** Null: the key that is read is none of ours. */
  #field: Field | null = null
  #expected = VALUE
  /** The offset of the next token, and where to go on inside of it, if it is a string. */
  #at = 0
  #inside = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** A field whose last value is `null` after another one, which readers in Go keep; null: none. */
  get cleared(): Field | null {
    const isCleared = (field: Field): boolean => {
      const span = this.#valued[field] ? this.spans[field] : undefined
      return span !== undefined && isNull(this.#bytes, span)
    }
    return FIELDS.find(isCleared) ?? null
  }

  /** Walks on to `stop`, or a token beyond. Null: the body is valid; undefined: there is more. */
  run(stop: number): SyntaxFlaw | null | undefined {
    const bytes = this.#bytes
    const closers = this.#closers
    for (;;) {
      const i = spaceEnd(bytes, this.#at, stop)
      this.#at = i
      if (i >= stop && stop < bytes.length) return undefined
      if (i >= bytes.length) return this.#expected === NEXT && this.#depth === 0 ? null : BROKEN
      const byte = bytes[i] ?? 0
      const expected = this.#expected
      if (expected === NEXT) {
        if (this.#depth === 0) return BROKEN
        this.#at = i + 1
        if (byte === closers[this.#depth]) this.#depth -= 1
        else if (byte !== 0x2c) return BROKEN
        else this.#expected = closers[this.#depth] === 0x7d ? KEY : VALUE
      } else if (expected === COLON) {
        if (byte !== 0x3a) return BROKEN
        this.#at = i + 1
        this.#expected = VALUE
      } else if (byte === closers[this.#depth] && (expected & 1) === 1) {
        this.#at = i + 1
        this.#depth -= 1
        this.#expected = NEXT
      } else {
        const flaw = expected >= KEY ? this.#key(i, stop) : this.#value(byte, i, stop)
        if (flaw !== null) return flaw
      }
    }
  }

  #key(at: number, stop: number): SyntaxFlaw | null | undefined {
    const end = this.#bytes[at] === QUOTE ? this.#stringEnd(at, stop) : -1
    if (end < 0) return end === -1 ? BROKEN : undefined
    if (this.#depth === 1) {
      this.#field = this.#fieldAt(at, end)
      this.members += 1
      if (this.members > MEMBERS_MAX) return 'json_too_complex'
    }
    // Hardly anybody writes a space before it.
    const isColon = this.#bytes[end] === 0x3a
    this.#at = isColon ? end + 1 : end
    this.#expected = isColon ? VALUE : COLON
    return null
  }

  #value(first: number, at: number, stop: number): SyntaxFlaw | null | undefined {
    if (first === 0x7b || first === 0x5b) {
      // Only the first byte of an object or array matters: it is the wrong type for any field.
      this.#note(at, at + 1)
      this.#field = null
      this.#depth += 1
      if (this.#depth > DEPTH_MAX) return 'json_too_deep'
      this.#closers[this.#depth] = first + 2
      this.#at = at + 1
      this.#expected = first === 0x7b ? KEY_OR_END : ITEM_OR_END
    } else {
      const end = first === QUOTE ? this.#stringEnd(at, stop) : scalarEnd(this.#bytes, at)
      if (end < 0) return end === -1 ? BROKEN : undefined
      if (first !== QUOTE && end - at > NUMBER_MAX) return 'json_too_complex'
      this.#note(at, end)
      this.#at = end
      this.#expected = NEXT
      if (isNumber(first)) return null
    }
    this.#values += 1
    return this.#values > VALUES_MAX ? 'json_too_complex' : null
  }

  #note(start: number, end: number): void {
    const field = this.#field
    if (field === null) return
    this.spans[field] = { start, end }
    if (this.#bytes[start] !== NULL_FIRST) this.#valued[field] = true
  }

  /** Which field the key between `start` and `end` names, in any spelling; null: another one. */
  #fieldAt(start: number, end: number): Field | null {
    // Almost every key is told apart by its first byte.
    if (!FIRST_BYTES.includes(this.#bytes[start + 1] ?? 0)) return null
    for (const field of FIELDS) {
      const like = likeness(this.#bytes, start, end, field)
      if (like === SAME_WORD) return field
      if (like === FOLDED_WORD) this.variant ??= { start, end }
    }
    return null
  }

  /** As `textEnd`, of the string at `at`, which may have been begun before. */
  #stringEnd(at: number, stop: number): number {
    const end = textEnd(this.#bytes, this.#inside || at + 1, stop)
    // Where nothing comes any more it will never end.
    if (end < -1 && stop >= this.#bytes.length) return -1
    this.#inside = end < -1 ? ~end : 0
    return end
  }
}

/** m, n, p, s in any case, the first byte of the long s, and the backslash of an escape. */
const FIRST_BYTES = Buffer.from('mnpsMNPS\\\xc5', 'latin1')
