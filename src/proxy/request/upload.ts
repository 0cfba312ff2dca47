import type { IncomingMessage } from 'node:http'
import { type Readable, Transform } from 'node:stream'
import type { Clock } from '../../runtime/clock.ts'
import { CHUNK_BYTES, free, IDLE_MS_MAX } from './body.ts'
import type { Form } from './form.ts'

/**
 * Calls `onStalled` once when the client stops sending a body that nobody holds back: it would keep
 * its place at the upstream for ever. The returned function stops the watch.
 */
export function watchUpload(
  request: IncomingMessage,
  clock: Clock,
  onStalled: () => void,
): () => void {
  let seen = -1
  const look = (): void => {
    const { socket } = request
    // The forwarder takes the socket away when the upstream has answered early.
    if (request.complete || request.destroyed || socket === null) return
    // Paused means that the upstream is the slow one.
    if (!request.isPaused() && socket.bytesRead === seen) return onStalled()
    seen = socket.bytesRead
    cancel = clock.after(IDLE_MS_MAX, look)
  }
  let cancel = clock.after(IDLE_MS_MAX, look)
  return () => cancel()
}

/**
 * The body as a stream that the forwarder may destroy: when the upstream refuses or answers early
 * it does, and the client's own stream, destroyed, would take the connection along before the answer
 * is out. A body that the client cuts is cut here, too, and never ends. `first`: what was read of a form,
 * as it is to be sent; the rest is scanned as it goes by.
 *
 * Node reads a body into a new 64 KiB buffer each time, which only the next collection frees: 200 MB
 * at full speed made a heap of 70 to 90 MB of read buffers. So what the upstream's socket has given
 * to the kernel (`flushed`: all that it was given) is freed here, at the next chunk.
 */
export function detached(
  request: IncomingMessage,
  flushed: () => boolean,
  form: Form | null = null,
  first: Buffer | null = null,
): Readable {
  const passed: Buffer[] = []
  let begun = false
  const body = new Transform({
    highWaterMark: CHUNK_BYTES,
    transform(chunk: Buffer, _encoding, done) {
      if (body.readableLength === 0 && flushed()) for (const one of passed.splice(0)) free(one)
      if (begun) form?.scan.push(chunk)
      passed.push(chunk)
      done(null, chunk)
    },
  })
  request.once('close', () => {
    if (!request.complete) body.destroy(new Error('the client left in the middle of its body'))
  })
  // Nobody wants the rest: it is read and dropped, as far as the server lets it come.
  body.once('close', () => {
    request.unpipe(body)
    request.resume()
  })
  // Whoever destroyed it has been told; there is nobody else to tell.
  body.on('error', () => {})
  if (first !== null) body.write(first)
  begun = true
  return request.pipe(body)
}
