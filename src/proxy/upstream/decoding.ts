import type { Transform } from 'node:stream'
import type { IncomingHttpHeaders } from 'node:http'
import { type Coding, codingOf, codingText, decoderOf } from '../../runtime/coding.ts'

/** Who gets what comes out. */
export interface DecodingTo {
  /** Answers true when it can take no more: call `resume` later. */
  data(bytes: Buffer): boolean
  /** What was written is used up: more may come. */
  drained(): void
  /** They cannot be read; `message` says why. */
  broken(message: string): void
}

/** Nobody asked for a coding; some send one nevertheless. Null: it is plain, or was told as broken. */
export function decodingOf(headers: IncomingHttpHeaders, to: DecodingTo): Decoding | null {
  const named = headers['content-encoding']
  const coding = codingOf(named)
  if (coding === null) return null
  if (coding !== 'unknown') return new Decoding(coding, to)
  to.broken(`Its Content-Encoding, ${codingText(named)}, was not asked for and is not read.`)
  return null
}

/**
 * Takes the content coding off an answer while it arrives. What comes out waits for whoever takes it,
 * and what goes in for that: a few bytes that become gigabytes take no more memory than others.
 */
export class Decoding {
  readonly #coding: Coding
  readonly #to: DecodingTo
  #stream: Transform | null = null
  #ended: (() => void) | null = null
  /** Has all of it come out? Encoders mark their end; what follows it is padding. */
  #out = false
  #closed = false

  constructor(coding: Coding, to: DecodingTo) {
    this.#coding = coding
    this.#to = to
  }

  /** Answers false when no more is to be written before `drained`. */
  write(bytes: Buffer): boolean {
    if (this.#out) return true
    this.#stream ??= this.#open(bytes)
    return this.#stream.write(bytes)
  }

  /** Calls `done` when all that was written has come out. `cut`: it may end in the middle. */
  end(done: () => void, cut: boolean): void {
    const stream = this.#stream
    if (stream === null || this.#out) return done()
    this.#ended = cut ? done : null
    stream.once('end', () => {
      if (!this.#closed) done()
    })
    stream.end()
  }

  resume(): void {
    this.#stream?.resume()
  }

  close(): void {
    this.#closed = true
    this.#stream?.destroy()
  }

  #open(first: Buffer): Transform {
    const stream = decoderOf(this.#coding, first)
    stream.on('data', (bytes: Buffer) => {
      if (!this.#closed && this.#to.data(bytes)) stream.pause()
    })
    stream.on('drain', () => {
      if (!this.#closed) this.#to.drained()
    })
    // It takes no more by then, and says so to nobody.
    stream.on('end', () => {
      this.#out = true
      if (!this.#closed) this.#to.drained()
    })
    stream.on('error', () => {
      if (this.#closed || this.#out) return
      if (this.#ended === null) this.#to.broken(`Its Content-Encoding, ${this.#coding}, is broken.`)
      else this.#ended()
    })
    return stream
  }
}
