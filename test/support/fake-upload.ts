import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'

/** What an upload came to. */
export interface Uploaded {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  bytes: number
  /** Of the whole body; null: it did not arrive whole. */
  sha256: string | null
  /** Is the connection gone? */
  closed: boolean
}

/** An upload route that keeps the sum of what it gets, not the bytes. */
export function takeUploads(): {
  readonly handler: (req: IncomingMessage, res: ServerResponse) => void
  readonly uploads: Uploaded[]
} {
  const uploads: Uploaded[] = []
  const handler = (req: IncomingMessage, res: ServerResponse): void => {
    const { method = '', url = '', headers } = req
    const upload: Uploaded = { method, url, headers, bytes: 0, sha256: null, closed: false }
    uploads.push(upload)
    const hash = createHash('sha256')
    req.on('data', (chunk: Buffer) => {
      upload.bytes += chunk.length
      hash.update(chunk)
    })
    req.on('end', () => {
      upload.sha256 = hash.digest('hex')
      res.writeHead(200, { 'content-type': 'application/json' })
      res.end(JSON.stringify({ text: 'heard', sha256: upload.sha256, bytes: upload.bytes }))
    })
    req.on('error', () => {})
    req.socket.on('close', () => (upload.closed = true))
  }
  return { handler, uploads }
}

/** Megabytes that look random, the same every time, and cost nothing to make. */
export function* megabytes(count: number): Generator<Buffer> {
  const block = Buffer.alloc(64 * 1024)
  for (let i = 0; i < block.length; i++) block[i] = (i * 31 + (i >> 8)) & 0xff
  for (let i = 0; i < count * 16; i++) {
    const part = Buffer.from(block)
    part.writeUInt32BE(i, 0)
    yield part
  }
}
