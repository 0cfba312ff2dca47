/** The end of a chunked body without trailers (RFC 9112 §7.1). */
export const LAST_CHUNK: Buffer = Buffer.from('0\r\n\r\n')

const CR = 0x0d
const LF = 0x0a

/** Bytes as one chunk of a chunked body, in one piece. They must not be empty: that is the end. */
export function asChunk(bytes: Buffer): Buffer {
  const size = `${bytes.length.toString(16)}\r\n`
  const chunk = Buffer.allocUnsafe(size.length + bytes.length + 2)
  chunk.write(size, 0, 'latin1')
  chunk.set(bytes, size.length)
  chunk[chunk.length - 2] = CR
  chunk[chunk.length - 1] = LF
  return chunk
}
