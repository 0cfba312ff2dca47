import type { AnswerApi } from './api.ts'

/** Kept of one text, bytes: the 300 characters of a message that are shown, each one escaped. */
const TEXT_MAX = 2048
/** Kept of a number or a word, bytes. */
const WORD_MAX = 64
/** Kept of one event, bytes. The rest of a larger one is not JSON, and proves nothing. */
const KEPT_MAX = 256 * 1024

const LF = 0x0a
const CR = 0x0d
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const SPACE = 0x20

/**
 * What an event says that is too large to be held: as it passes by, a copy is made whose long texts
 * are clipped and whose inner parts are left out, and which `classifyEvent` reads like the event
 * itself. Linear time, at most 256 KiB, whatever the order of its keys.
 */
export class LargeEvent {
  /** Containers inside of which something is kept: that of a delta, or of a whole response. */
  readonly #depthMax: number
  #kept = new Uint8Array(4096)
  #size = 0
  /** Of the line: its field, then its value; of data that value is JSON, which goes over lines. */
  #at: 'field' | 'data' | 'value' = 'field'
  /** Bytes kept of this field, word, text or value. */
  #run = 0
  #depth = 0
  #inText = false
  /** Is the rest of this text left out? */
  #clipped = false
  #escaped = false
  /** Hex digits to come of an escape: it must not be clipped in the middle. */
  #digits = 0
  /** Does a list or an object begin whose inside is left out, and that may yet be empty? Then what is
   *  to stand in it if it is not. */
  #bare = ''

  constructor(api: AnswerApi) {
    this.#depthMax = api.depthMax
  }

  push(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) {
      if (this.#clipped && !this.#escaped) i = textEnd(bytes, i)
      if (i === bytes.length) return
      const byte = bytes[i] ?? 0
      if (byte === LF || byte === CR) this.#newLine(byte)
      else if (this.#at === 'data') this.#json(byte)
      else if (this.#at === 'field') this.#field(byte)
      else if (this.#run < TEXT_MAX) this.#keep(byte)
    }
  }

  /** The event, made small. */
  end(): Uint8Array {
    return this.#kept.subarray(0, this.#size)
  }

  #newLine(byte: number): void {
    this.#put(byte)
    this.#at = 'field'
    this.#run = 0
  }

  #field(byte: number): void {
    if (this.#run < TEXT_MAX) this.#keep(byte)
    if (byte !== COLON) return
    this.#at = this.#isData() ? 'data' : 'value'
    this.#run = 0
  }

  /** Do the last five bytes, the whole line so far, read `data:`? */
  #isData(): boolean {
    const from = this.#size - 5
    return this.#run === 5 && [0x64, 0x61, 0x74, 0x61].every((b, i) => this.#kept[from + i] === b)
  }

  #json(byte: number): void {
    if (this.#inText) return this.#text(byte)
    switch (byte) {
      case SPACE:
      case 0x09:
        return
      case QUOTE:
        this.#fill()
        this.#inText = true
        this.#run = 0
        return this.#putAt(this.#depth, byte)
      case 0x7b:
      case 0x5b:
        this.#fill()
        this.#putAt(this.#depth, byte)
        this.#bare = this.#depth === this.#depthMax ? (byte === 0x5b ? '0' : '"":0') : ''
        this.#depth += 1
        this.#run = 0
        return
      case 0x7d:
      case 0x5d:
        this.#bare = ''
        this.#depth -= 1
        this.#run = 0
        return this.#putAt(this.#depth, byte)
      case 0x2c:
      case COLON:
        this.#run = 0
        return this.#putAt(this.#depth, byte)
      default:
        this.#fill()
        if (this.#run < WORD_MAX && this.#depth <= this.#depthMax) this.#keep(byte)
    }
  }

  /** What is inside of a text, and its end. */
  #text(byte: number): void {
    const whole = !this.#escaped && this.#digits === 0
    if (whole && byte === QUOTE) {
      this.#inText = false
      this.#clipped = false
      this.#run = 0
      return this.#putAt(this.#depth, byte)
    }
    if (whole && this.#run >= TEXT_MAX) this.#clipped = true
    if (this.#digits > 0) this.#digits -= 1
    else if (this.#escaped) {
      this.#escaped = false
      if (byte === 0x75 && !this.#clipped) this.#digits = 4
    } else if (byte === BACKSLASH) this.#escaped = true
    this.#run += 1
    if (!this.#clipped) this.#putAt(this.#depth, byte)
  }

  /** What has something in it keeps a number for all of it. */
  #fill(): void {
    for (let i = 0; i < this.#bare.length; i++) this.#put(this.#bare.codePointAt(i) ?? 0)
    this.#bare = ''
  }

  #putAt(depth: number, byte: number): void {
    if (depth <= this.#depthMax) this.#put(byte)
  }

  #keep(byte: number): void {
    this.#run += 1
    this.#put(byte)
  }

  #put(byte: number): void {
    if (this.#size === KEPT_MAX) return
    if (this.#size === this.#kept.length) {
      const more = new Uint8Array(2 * this.#size)
      more.set(this.#kept)
      this.#kept = more
    }
    this.#kept[this.#size] = byte
    this.#size += 1
  }
}

/** Where a text ends at the earliest. */
function textEnd(bytes: Uint8Array, from: number): number {
  let i = from
  while (i < bytes.length) {
    const byte = bytes[i]
    if (byte === QUOTE || byte === BACKSLASH || byte === LF || byte === CR) break
    i += 1
  }
  return i
}
