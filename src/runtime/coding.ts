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
export type Coding = 'gzip' | 'deflate' | 'br' | 'zstd'

const CODINGS: Readonly<Record<string, Coding>> = {
  gzip: 'gzip',
  'x-gzip': 'gzip',
  deflate: 'deflate',
  br: 'br',
  zstd: 'zstd',
}
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
  return Object.hasOwn(CODINGS, name) ? (CODINGS[name] ?? 'unknown') : 'unknown'
}

/** How a `Content-Encoding` reads in a message, clipped: an upstream wrote it. */
export function codingText(header: string | string[] | undefined): string {
  const text = [header ?? ''].flat().join(', ')
  return text.replaceAll(/[^\w,. -]/g, '?').slice(0, 40)
}

/** A stream that takes the coding off. `first`: the first bytes, since `deflate` means two things. */
export function decoderOf(coding: Coding, first: Uint8Array): Transform {
  switch (coding) {
    case 'gzip':
      return createGunzip(CHUNK)
    case 'deflate':
      return isWrapped(first) ? createInflate(CHUNK) : createInflateRaw(CHUNK)
    case 'br':
      return createBrotliDecompress(CHUNK)
    case 'zstd':
      return createZstdDecompress({ ...CHUNK, ...ZSTD })
  }
}

/** The bytes without their coding; null: they are broken, or more than `max`. */
export function decoded(coding: Coding, bytes: Uint8Array, max: number): Uint8Array | null {
  const options = { maxOutputLength: max }
  if (bytes.length === 0) return bytes
  try {
    switch (coding) {
      case 'gzip':
        return gunzipSync(bytes, options)
      case 'deflate':
        return (isWrapped(bytes) ? inflateSync : inflateRawSync)(bytes, options)
      case 'br':
        return brotliDecompressSync(bytes, options)
      case 'zstd':
        return zstdDecompressSync(bytes, { ...options, ...ZSTD })
    }
  } catch {
    return null
  }
}

/** Does it begin as zlib's format, which `deflate` means by the standard? Some send it bare. */
function isWrapped(first: Uint8Array): boolean {
  return ((first[0] ?? 0) & 0x0f) === 8
}
