import type { IncomingHttpHeaders } from 'node:http'
import type { Transform } from 'node:stream'
import {
  brotliDecompressSync,
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  zstdDecompressSync,
} from 'node:zlib'

/** Content codings that can be taken off. */
const CODINGS = ['gzip', 'deflate', 'br', 'zstd'] as const
export type Coding = (typeof CODINGS)[number]

/** 8 MiB: what every decoder must take (RFC 9659), and what a hostile one may take of our memory. */
const ZSTD = { params: { [constants.ZSTD_d_windowLogMax]: 23 } }
/** How much comes out at once, bytes. */
const CHUNK = { chunkSize: 16 * 1024 }

/**
 * The coding that a `Content-Encoding` names; null: there is none. `unknown`: one that nobody here
 * reads, or several on top of each other, which no engine needs and which multiply each other.
 */
export function codingOf(header: string | string[] | undefined): Coding | 'unknown' | null {
  const name = [header ?? ''].flat().join(',').trim().toLowerCase()
  if (name === '' || name === 'identity') return null
  if (name === 'x-gzip') return 'gzip'
  return CODINGS.find((coding) => name === coding) ?? 'unknown'
}

/** How a `Content-Encoding` reads in a message, clipped: an upstream wrote it. */
export function codingText(header: string | string[] | undefined): string {
  const text = [header ?? ''].flat().join(', ')
  return text.replaceAll(/[^\w,. -]/g, '?').slice(0, 40)
}

/** How a coding is taken off: while it arrives, and of all at once. */
type Decoder = readonly [
  stream: (options: { readonly chunkSize: number }) => Transform,
  whole: (bytes: Uint8Array, options: { readonly maxOutputLength: number }) => Uint8Array,
]

const DECODERS: Readonly<Record<Coding, Decoder>> = {
  gzip: [createGunzip, gunzipSync],
  deflate: [createInflate, inflateSync],
  br: [createBrotliDecompress, brotliDecompressSync],
  zstd: [
    (options) => createZstdDecompress({ ...options, ...ZSTD }),
    (bytes, options) => zstdDecompressSync(bytes, { ...options, ...ZSTD }),
  ],
}

/** `first`: the first bytes, since `deflate` means two things. */
export function decoderOf(coding: Coding, first: Uint8Array): Decoder {
  const isBare = coding === 'deflate' && !isWrapped(first)
  return isBare ? [createInflateRaw, inflateRawSync] : DECODERS[coding]
}

/** The bytes without their coding; null: they are broken, or more than `max`. */
export function decoded(coding: Coding, bytes: Uint8Array, max: number): Uint8Array | null {
  if (bytes.length === 0) return bytes
  try {
    return decoderOf(coding, bytes)[1](bytes, { maxOutputLength: max })
  } catch {
    return null
  }
}

/** Does it begin as zlib's format, which `deflate` means by the standard? Some send it bare. */
function isWrapped(first: Uint8Array): boolean {
  return ((first[0] ?? 0) & 0x0f) === 8
}

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
    const stream = decoderOf(this.#coding, first)[0](CHUNK)
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
