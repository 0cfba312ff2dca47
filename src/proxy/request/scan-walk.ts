import {
  FOLDED_WORD,
  likeness,
  literalEnd,
  numberEnd,
  OTHER_WORD,
  QUOTE,
  spaceEnd,
  textEnd,
} from './scan-tokens.ts'

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
/** Stands for every other key. */
const OTHER = -1
/** Stands for a key that equals one of ours but for its case. */
const VARIANT = -2
/** The first byte of `null`, and of no other value. */
const NULL_FIRST = 0x6e

/** Where the last value of each field lies. */
class Members {
  readonly #starts = new Int32Array(FIELDS.length).fill(-1)
  readonly #ends = new Int32Array(FIELDS.length)
  readonly #valued = new Uint8Array(FIELDS.length)
  /** The first key that equals one of ours but for its case. */
  variant: Span | null = null
  /** How many members the body has, of whatever name. */
  count = 0

  set(field: number, start: number, end: number, isNull: boolean): void {
    this.#starts[field] = start
    this.#ends[field] = end
    if (!isNull) this.#valued[field] = 1
  }

  /** A field whose last value is `null` after another one, which readers in Go keep; null: none. */
  clearedField(bytes: Buffer): string | null {
    const cleared = (field: number): boolean =>
      this.#valued[field] === 1 && bytes[this.#starts[field] ?? 0] === NULL_FIRST
    return FIELDS.find((_, field) => cleared(field)) ?? null
  }

  span(name: (typeof FIELDS)[number]): Span | null {
    const field = FIELDS.indexOf(name)
    const start = this.#starts[field] ?? -1
    return start === -1 ? null : { start, end: this.#ends[field] ?? start }
  }
}

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
  readonly found = new Members()
  readonly #bytes: Buffer
  readonly #closers = new Uint8Array(DEPTH_MAX + 1)
  #depth = 0
  #values = 0
  #field = OTHER
  #expected = VALUE
  /** The offset of the next token, and where to go on inside of it, if it is a string. */
  #at = 0
  #inside = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
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
      const field = fieldAt(this.#bytes, at, end)
      if (field === VARIANT) this.found.variant ??= { start: at, end }
      this.#field = field === VARIANT ? OTHER : field
      this.found.count += 1
      if (this.found.count > MEMBERS_MAX) return 'json_too_complex'
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
      if (this.#field !== OTHER) this.found.set(this.#field, at, at + 1, false)
      this.#field = OTHER
      this.#depth += 1
      if (this.#depth > DEPTH_MAX) return 'json_too_deep'
      this.#closers[this.#depth] = first + 2
      this.#at = at + 1
      this.#expected = first === 0x7b ? KEY_OR_END : ITEM_OR_END
    } else {
      const end = first === QUOTE ? this.#stringEnd(at, stop) : scalarEnd(this.#bytes, first, at)
      if (end < 0) return end === -1 ? BROKEN : undefined
      if (first !== QUOTE && end - at > NUMBER_MAX) return 'json_too_complex'
      if (this.#field !== OTHER) this.found.set(this.#field, at, end, first === NULL_FIRST)
      this.#at = end
      this.#expected = NEXT
      if (isNumber(first)) return null
    }
    this.#values += 1
    return this.#values > VALUES_MAX ? 'json_too_complex' : null
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

function scalarEnd(bytes: Buffer, first: number, at: number): number {
  return isNumber(first) ? numberEnd(bytes, at) : literalEnd(bytes, at)
}

function isNumber(first: number): boolean {
  return first === 0x2d || (first >= 0x30 && first <= 0x39)
}

/** m, n, p, s in any case, the first byte of the long s, and the backslash of an escape. */
const FIRST_BYTES = Buffer.from('mnpsMNPS\\\xc5', 'latin1')

/** Which field the key between `start` and `end` names, in any spelling. */
function fieldAt(bytes: Buffer, start: number, end: number): number {
  const first = bytes[start + 1]
  // Almost every key is told apart by its first byte.
  if (first === undefined || !FIRST_BYTES.includes(first)) return OTHER
  for (let field = 0; field < FIELDS.length; field++) {
    const like = likeness(bytes, start, end, FIELDS[field] ?? '')
    if (like !== OTHER_WORD) return like === FOLDED_WORD ? VARIANT : field
  }
  return OTHER
}
