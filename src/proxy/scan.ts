import { isUtf8 } from 'node:buffer'

import type { ErrorCode } from '../errors/catalogue.ts'
import { isWord, literalEnd, numberEnd, QUOTE, spaceEnd, stringEnd } from './scan-tokens.ts'

/** A byte range: from `start` up to, not including, `end`. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** What the gate needs of a request body. Every value is what `JSON.parse` would give. */
export interface ScannedBody {
  readonly ok: true
  /** The name the client wrote, and its token with the quotes; null: absent or `null`. */
  readonly model: (Span & { readonly value: string }) | null
  /** The token of the value of `model`, also where it is `null`; null: there is no such key. */
  readonly modelSpan: Span | null
  readonly stream: boolean
  /** How many choices were asked for; 1 where the field is absent or no whole number. */
  readonly n: number
  /** The larger of `max_tokens` and `max_completion_tokens`; null: no bound was given. */
  readonly maxTokens: number | null
  /** The response that this one goes on from; null: absent, or no string. */
  readonly previousId: string | null
  /** Offset after the opening brace. */
  readonly insertAt: number
  /** Does the object have no member? */
  readonly empty: boolean
}

export type ScanFailure = Extract<
  ErrorCode,
  | 'invalid_json'
  | 'invalid_body'
  | 'invalid_utf8'
  | 'json_too_deep'
  | 'json_too_complex'
  | 'invalid_model'
  | 'invalid_type'
>

export type ScanResult =
  | ScannedBody
  | { readonly ok: false; readonly code: ScanFailure; readonly param: string | null }

/** Levels of objects and arrays; real requests stay below 30, upstreams recurse (Python: 1000). */
const DEPTH_MAX = 200
/** Objects, arrays and scalars in one body; keeps the scan of any body under 50 ms. */
const VALUES_MAX = 1_000_000
/** Members of the body itself, whose names are compared with ours. Real requests have under 50. */
const MEMBERS_MAX = 100_000
/** Bytes of one number. Longer ones are no request; Python refuses 4300 digits itself. */
const NUMBER_MAX = 10_000
/** UTF-16 units of a model name. */
const MODEL_MAX = 256
/** No character takes more bytes than an escape such as `\u0065`. */
const BYTES_PER_CHAR_MAX = 6

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

/**
 * Reads the few top-level fields that routing needs, and proves the body valid, without building
 * the tree. Agrees with `JSON.parse` on every input but for the limits above: what it accepts
 * parses, and of a key that occurs twice the last one counts, however it is spelled.
 */
export function scanBody(bytes: Buffer): ScanResult {
  if (!isUtf8(bytes)) return fail('invalid_utf8')
  const found = new Members()
  const flaw = walk(bytes, found)
  if (flaw !== null) return fail(flaw)
  const open = spaceEnd(bytes, 0)
  if (bytes[open] !== 0x7b) return fail('invalid_body')
  const modelSpan = found.span('model')
  const model = modelOf(bytes, modelSpan)
  if (model === undefined) return fail('invalid_model', 'model')
  const stream = booleanOf(bytes, found.span('stream'))
  if (stream === undefined) return fail('invalid_type', 'stream')
  const n = numberOf(bytes, found.span('n'))
  return {
    ok: true,
    model,
    modelSpan,
    stream,
    n: n !== null && Number.isInteger(n) && n >= 1 ? n : 1,
    maxTokens: largerBound(
      numberOf(bytes, found.span('max_tokens')),
      numberOf(bytes, found.span('max_completion_tokens')),
    ),
    previousId: stringOf(bytes, found.span('previous_response_id')),
    insertAt: open + 1,
    empty: found.count === 0,
  }
}

/** Where the last value of each field lies. */
class Members {
  readonly #starts = new Int32Array(FIELDS.length).fill(-1)
  readonly #ends = new Int32Array(FIELDS.length)
  /** How many members the body has, of whatever name. */
  count = 0

  set(field: number, start: number, end: number): void {
    this.#starts[field] = start
    this.#ends[field] = end
  }

  span(name: (typeof FIELDS)[number]): Span | null {
    const field = FIELDS.indexOf(name)
    const start = this.#starts[field] ?? -1
    return start === -1 ? null : { start, end: this.#ends[field] ?? start }
  }
}

/** Walks the whole body, notes the values of top-level fields, and says what is wrong with it. */
function walk(bytes: Buffer, found: Members): ScanFailure | null {
  const closers = new Uint8Array(DEPTH_MAX + 1)
  let depth = 0
  let values = 0
  let field = OTHER
  let atKey = false
  let i = spaceEnd(bytes, 0)
  for (;;) {
    if (atKey) {
      const keyEnd = bytes[i] === QUOTE ? stringEnd(bytes, i) : -1
      if (keyEnd < 0) return 'invalid_json'
      const colon = spaceEnd(bytes, keyEnd)
      if (bytes[colon] !== 0x3a) return 'invalid_json'
      if (depth === 1) {
        field = fieldAt(bytes, i, keyEnd)
        found.count += 1
        if (found.count > MEMBERS_MAX) return 'json_too_complex'
      }
      i = spaceEnd(bytes, colon + 1)
    }
    const first = bytes[i] ?? 0
    values += 1
    if (values > VALUES_MAX) return 'json_too_complex'
    if (first === 0x7b || first === 0x5b) {
      // Only the first byte of an object or array matters: it is the wrong type for any field.
      if (field !== OTHER) found.set(field, i, i + 1)
      field = OTHER
      depth += 1
      if (depth > DEPTH_MAX) return 'json_too_deep'
      closers[depth] = first + 2
      i = spaceEnd(bytes, i + 1)
      if (bytes[i] !== first + 2) {
        atKey = first === 0x7b
        continue
      }
    } else {
      const end = scalarEnd(bytes, i)
      if (end < 0) return 'invalid_json'
      if (end - i > NUMBER_MAX && first !== QUOTE) return 'json_too_complex'
      if (field !== OTHER) found.set(field, i, end)
      i = spaceEnd(bytes, end)
    }
    while (depth > 0 && bytes[i] === closers[depth]) {
      depth -= 1
      i = spaceEnd(bytes, i + 1)
    }
    if (depth === 0) return i === bytes.length ? null : 'invalid_json'
    if (bytes[i] !== 0x2c) return 'invalid_json'
    i = spaceEnd(bytes, i + 1)
    atKey = closers[depth] === 0x7d
  }
}

function scalarEnd(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0
  if (first === QUOTE) return stringEnd(bytes, at)
  if (first === 0x2d || (first >= 0x30 && first <= 0x39)) return numberEnd(bytes, at)
  return literalEnd(bytes, at)
}

/** m, n, p, s, and the backslash of an escape. */
const FIRST_BYTES = Buffer.from('mnps\\')

/** Which field the key between `start` and `end` names, in any spelling. */
function fieldAt(bytes: Buffer, start: number, end: number): number {
  const first = bytes[start + 1]
  // Almost every key is told apart by its first byte.
  if (first === undefined || !FIRST_BYTES.includes(first)) return OTHER
  for (let field = 0; field < FIELDS.length; field++) {
    if (isWord(bytes, start, end, FIELDS[field] ?? '')) return field
  }
  return OTHER
}

/** The text of a string token that has been checked. */
function textOf(bytes: Buffer, { start, end }: Span): string {
  const raw = bytes.toString('utf8', start + 1, end - 1)
  return raw.includes('\\') ? String(JSON.parse(`"${raw}"`)) : raw
}

/** The model; null where there is none, undefined where it is no acceptable name. */
function modelOf(bytes: Buffer, span: Span | null): ScannedBody['model'] | undefined {
  if (span === null || isNull(bytes, span)) return null
  if (bytes[span.start] !== QUOTE) return undefined
  if (span.end - span.start - 2 > MODEL_MAX * BYTES_PER_CHAR_MAX) return undefined
  const value = textOf(bytes, span)
  return value.length > MODEL_MAX ? undefined : { value, ...span }
}

/** A string of sane length; null for anything else. */
function stringOf(bytes: Buffer, span: Span | null): string | null {
  if (span === null || bytes[span.start] !== QUOTE || span.end - span.start > 2_000) return null
  return textOf(bytes, span)
}

function booleanOf(bytes: Buffer, span: Span | null): boolean | undefined {
  if (span === null || isNull(bytes, span)) return false
  if (bytes[span.start] === 0x74) return true
  return bytes[span.start] === 0x66 ? false : undefined
}

/** A finite number; null for anything else. */
function numberOf(bytes: Buffer, span: Span | null): number | null {
  if (span === null) return null
  const first = bytes[span.start] ?? 0
  if (first !== 0x2d && (first < 0x30 || first > 0x39)) return null
  const value = Number(bytes.toString('latin1', span.start, span.end))
  return Number.isFinite(value) ? value : null
}

/** Engines differ in which of the two they heed, and a negative one means no bound. */
function largerBound(a: number | null, b: number | null): number | null {
  const larger = Math.max(a ?? -1, b ?? -1)
  return larger < 0 ? null : larger
}

function isNull(bytes: Buffer, span: Span): boolean {
  return bytes[span.start] === 0x6e
}

function fail(code: ScanFailure, param: string | null = null): ScanResult {
  return { ok: false, code, param }
}
