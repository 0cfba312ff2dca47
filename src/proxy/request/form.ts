import { isUtf8 } from 'node:buffer'

/** Why a form is refused; `model`: only its value is wrong. */
export type FormFault = { readonly code: 'invalid_form' | 'invalid_model'; readonly detail: string }

/** The value of the part `model`, and where its bytes stand in the form. */
export interface FormModel {
  readonly value: string
  readonly start: number
  readonly end: number
}

/** The headers of one part. */
const HEAD_BYTES_MAX = 8_192
/** UTF-16 units of a model name, as in JSON. */
const MODEL_MAX = 256
const MODEL_BYTES_MAX = MODEL_MAX * 4
/** Spaces after a boundary, which nobody sends. */
const PADDING_MAX = 32
const HEAD_END = Buffer.from('\r\n\r\n')
const NONE = Buffer.alloc(0)

/**
 * Finds the part `model` of a multipart form (RFC 7578) in its bytes as they come, in linear time
 * and 10 KB, and keeps none of them. Strict where engines differ: whatever one of them could read as
 * a model and another could not is a fault.
 */
export class FormScan {
  /** Null: not yet, or the form has none. */
  model: FormModel | null = null
  fault: FormFault | null = null
  /** Was the last boundary seen? What comes after it is nobody's. */
  ended = false
  /** Called once, when a fault is met. */
  onFault: (fault: FormFault) => void = () => {}
  readonly #delimiter: Buffer
  #state: 'data' | 'line' | 'head' = 'data'
  /** Bytes before the chunk that is read. */
  #before = 0
  /** The last bytes of data, fewer than a delimiter has. The first one may come without its line. */
  #tail = Buffer.from('\r\n')
  #line = ''
  readonly #head = Buffer.alloc(HEAD_BYTES_MAX)
  #headSize = 0
  /** Where the value of `model` begins; null: another part is read. */
  #valueAt: number | null = null
  readonly #value = Buffer.alloc(MODEL_BYTES_MAX)
  #valueSize = 0

  constructor(boundary: string) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
  }

  /** Is a part `model` being read, so that a few more bytes will tell it? */
  get within(): boolean {
    return this.#valueAt !== null
  }

  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && this.fault === null && !this.ended) {
      if (this.#state === 'data') at = this.#data(chunk, at)
      else if (this.#state === 'line') at = this.#afterBoundary(chunk, at)
      else at = this.#header(chunk, at)
    }
    this.#before += chunk.length
  }

  /** Reads data up to the next boundary; answers where to go on. */
  #data(chunk: Buffer, at: number): number {
    const size = this.#delimiter.length
    const rest = chunk.subarray(at)
    const tail = this.#tail
    const across = Buffer.concat([tail, rest.subarray(0, size - 1)]).indexOf(this.#delimiter)
    const start = across === -1 ? rest.indexOf(this.#delimiter) : across - tail.length
    if (across === -1 && start === -1) {
      this.#keepValue(rest)
      const last = rest.length >= size - 1 ? rest : Buffer.concat([tail, rest])
      // A copy: the memory of a chunk is freed once it has been sent.
      this.#tail = Buffer.from(last.subarray(Math.max(0, last.length - size + 1)))
      return chunk.length
    }
    this.#keepValue(rest.subarray(0, Math.max(0, start)))
    if (this.#valueAt !== null) this.#endValue(this.#valueAt, this.#before + at + start)
    this.#state = 'line'
    this.#line = ''
    return at + start + size
  }

  #keepValue(bytes: Buffer): void {
    if (this.#valueAt === null) return
    if (this.#valueSize < MODEL_BYTES_MAX) bytes.copy(this.#value, this.#valueSize)
    this.#valueSize += bytes.length
    // The last bytes may be those of the boundary.
    if (this.#valueSize > MODEL_BYTES_MAX + this.#delimiter.length) this.#fail(TOO_LONG)
  }

  #endValue(start: number, end: number): void {
    this.#valueAt = null
    if (this.fault !== null) return
    const bytes = this.#value.subarray(0, end - start)
    if (end - start > MODEL_BYTES_MAX || !isUtf8(bytes)) return this.#fail(TOO_LONG)
    const value = bytes.toString()
    if (value.length > MODEL_MAX) return this.#fail(TOO_LONG)
    this.model = { value, start, end }
  }

  /** A boundary ends its line, or is the last one. */
  #afterBoundary(chunk: Buffer, at: number): number {
    this.#line += String.fromCodePoint(chunk[at] ?? 0)
    if (this.#line === '--') this.ended = true
    else if (/^[ \t]*\r\n$/.test(this.#line)) {
      this.#state = 'head'
      // So that a part without headers ends like any other.
      this.#headSize = HEAD_END.copy(this.#head, 0, 0, 2)
    } else if (!/^(?:-|[ \t]*\r?)$/.test(this.#line) || this.#line.length > PADDING_MAX) {
      this.#invalid('A boundary is not followed by a line end.')
    }
    return at + 1
  }

  #header(chunk: Buffer, at: number): number {
    const had = this.#headSize
    this.#headSize += chunk.copy(this.#head, had, at)
    const head = this.#head.subarray(0, this.#headSize)
    const end = head.indexOf(HEAD_END, Math.max(0, had - HEAD_END.length + 1))
    if (end === -1) {
      if (this.#headSize === this.#head.length)
        this.#invalid('The headers of a part are too large.')
      return chunk.length
    }
    this.#state = 'data'
    this.#tail = NONE
    const next = at + end + HEAD_END.length - had
    const { name = null, fault } = nameOf(head.subarray(2, Math.max(2, end)).toString())
    if (fault !== undefined) this.#invalid(fault)
    else if (name === 'model') this.#beginValue(this.#before + next)
    return next
  }

  #beginValue(at: number): void {
    if (this.model !== null) return this.#invalid('Two parts are named model.')
    this.#valueAt = at
    this.#valueSize = 0
  }

  #invalid(detail: string): void {
    this.#fail({ code: 'invalid_form', detail })
  }

  #fail(fault: FormFault): void {
    this.fault = fault
    this.#valueAt = null
    this.onFault(fault)
  }
}

const TOO_LONG: FormFault = { code: 'invalid_model', detail: '' }

/** The boundary that a `Content-Type` of a form names; null: it names none, or not clearly. Pure. */
export function boundaryOf(contentType: string): string | null {
  const found = [...contentType.matchAll(/;\s*boundary\s*=\s*(?:"([^"]*)"|([^\s;"]*))/gi)]
  const boundary = found[0]?.[1] ?? found[0]?.[2] ?? ''
  // RFC 2046, 5.1.1: what may be in it, and that it does not end with a space.
  const good = /^[\w'()+,./:=? -]{0,69}[\w'()+,./:=?-]$/.test(boundary)
  return found.length === 1 && good ? boundary : null
}

/** `; key=value`, the value a token or in quotes. */
const PARAM = /;[ \t]*([^\s;="]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))[ \t]*/y
/** Bytes that stand for themselves. */
const PLAIN_ENCODINGS: readonly string[] = ['', '7bit', '8bit', 'binary']

/**
 * The name of a part by its headers, without the empty line, if it has one; or why they cannot be read
 * in one way only. Where the name is `model` nothing about it may be in doubt.
 */
function nameOf(head: string): { readonly name?: string; readonly fault?: string } {
  const lines = head === '' ? [] : head.split('\r\n')
  const valuesOf = (key: string): string[] =>
    lines.flatMap((line) => {
      const colon = line.indexOf(':')
      return line.slice(0, colon).trim().toLowerCase() === key ? [line.slice(colon + 1).trim()] : []
    })
  if (lines.some((line) => /^[ \t]/.test(line))) return { fault: 'A header of a part is folded.' }
  const [disposition, second] = valuesOf('content-disposition')
  if (disposition === undefined) return {}
  if (second !== undefined) return { fault: 'A part has two Content-Dispositions.' }
  const { names, more, whole } = paramsOf(disposition)
  const [name] = names
  if (names.length > 1 || more.has('name*')) return { fault: 'A part has more than one name.' }
  if (name === undefined) return whole ? {} : { fault: 'The name of a part cannot be read.' }
  if (name !== 'model') return { name }
  if (!whole) return { fault: 'The Content-Disposition of model cannot be read.' }
  if (more.has('filename') || more.has('filename*')) return { fault: 'The part model is a file.' }
  const encoding = valuesOf('content-transfer-encoding').join(',').toLowerCase()
  return PLAIN_ENCODINGS.includes(encoding) ? { name } : { fault: 'The part model is encoded.' }
}

/** The parameters of `form-data; …`; `whole`: all of it could be read. */
function paramsOf(disposition: string): {
  readonly names: readonly string[]
  readonly more: ReadonlySet<string>
  readonly whole: boolean
} {
  const names: string[] = []
  const more = new Set<string>()
  let at = /^form-data[ \t]*/i.exec(disposition)?.[0].length ?? 0
  if (at === 0) return { names, more, whole: false }
  while (at < disposition.length) {
    PARAM.lastIndex = at
    const param = PARAM.exec(disposition)
    if (param === null) break
    const [all, key = '', quoted, token = ''] = param
    if (key.toLowerCase() === 'name') names.push(quoted?.replaceAll(/\\(.)/g, '$1') ?? token)
    else more.add(key.toLowerCase())
    at += all.length
  }
  return { names, more, whole: at === disposition.length }
}

/** A multipart form as far as it was read before it is sent. */
export interface Form {
  /** Its beginning, or all of it. */
  readonly bytes: Buffer
  readonly whole: boolean
  /** Goes on with the rest: a second model in it is refused, too. */
  readonly scan: FormScan
}

/** Did it go on before a model showed, if it names one at all? Pure. */
export function isUnseen({ whole, scan }: Form): boolean {
  return !whole && scan.model === null && !scan.ended
}

/** The bytes of a form with another value of its model; every other byte stays as it is. */
export function renamed(bytes: Buffer, model: FormModel, name: string): Buffer {
  const before = bytes.subarray(0, model.start)
  return Buffer.concat([before, Buffer.from(name), bytes.subarray(model.end)])
}
