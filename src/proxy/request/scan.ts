import { isUtf8 } from 'node:buffer'
import type { ErrorCode } from '../../errors/catalogue.ts'
import type { Clock } from '../../runtime/clock.ts'
import { QUOTE, spaceEnd } from './scan-tokens.ts'
import { type Span, type SyntaxFlaw, Walk } from './scan-walk.ts'

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
  SyntaxFlaw | 'ambiguous_key' | 'invalid_body' | 'invalid_utf8' | 'invalid_model' | 'invalid_type'
>

export type ScanResult =
  | ScannedBody
  | { readonly ok: false; readonly code: ScanFailure; readonly param: string | null }

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

function resultOf(bytes: Buffer, { found }: Walk, flaw: SyntaxFlaw | null): ScanResult {
  if (flaw !== null) return fail(flaw)
  const open = spaceEnd(bytes, 0)
  if (bytes[open] !== 0x7b) return fail('invalid_body')
  const { variant } = found
  const ambiguous = variant === null ? found.clearedField(bytes) : textOf(bytes, variant)
  if (ambiguous !== null) return fail('ambiguous_key', ambiguous)
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

/** The text of a string token that has been checked. */
function textOf(bytes: Buffer, { start, end }: Span): string {
  const raw = bytes.toString('utf8', start + 1, end - 1)
  return raw.includes('\\') ? String(JSON.parse(`"${raw}"`)) : raw
}

/** The model; null where there is none, undefined where the name is not acceptable. */
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
