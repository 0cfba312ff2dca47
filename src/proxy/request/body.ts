import type { IncomingMessage } from 'node:http'
import { type Readable, Transform } from 'node:stream'
import { Gather } from '../../core/gather.ts'
import type { ErrorCode } from '../../errors/catalogue.ts'
import type { Clock } from '../../runtime/clock.ts'

export type BodyResult =
  /** `whole`: to its end, and not only as far as was enough. */
  | { readonly ok: true; readonly bytes: Buffer; readonly whole: boolean }
  | { readonly ok: false; readonly code: ErrorCode }
  /** The client left before the end of its body. */
  | { readonly ok: false; readonly code: null }

export interface BodyLimits {
  readonly maxBytes: number
  readonly clock: Clock
  /** The body holds so many bytes of memory from now on. Null, or why it cannot. */
  readonly resize: (bytes: number) => ErrorCode | null
  /** Gets what ends the reading when others need the room; null when the body is whole. */
  readonly held: { evict: ((code: ErrorCode) => void) | null; reserved?: number }
  /** Asked at each piece: is that enough, so that the rest stays in the request? Absent: all is read. */
  readonly enough?: (piece: Buffer, read: number) => boolean
}

/** A body may pause for this long between two chunks, ms, whether it is held or goes on. */
const IDLE_MS_MAX = 10_000
/** And may take this long for each 16 bytes, beyond those ten seconds, ms: 64 MiB in 70 minutes. */
const RATE_MIN = 16

/**
 * Reads a whole request body up to `maxBytes`. A declared length beyond the limit is refused before
 * a byte is read, a body that stops arriving after ten seconds, one that trickles when it falls below
 * its rate. Never rejects.
 */
export function readBody(request: IncomingMessage, limits: BodyLimits): Promise<BodyResult> {
  const declared = Number(request.headers['content-length'] ?? '0')
  if (declared > limits.maxBytes) return Promise.resolve({ ok: false, code: 'request_too_large' })
  return new Promise((resolve) => {
    const body = new Gather()
    const startedAt = limits.clock.nowMs()
    let cancelTimer = nothing
    let over = false
    // The listeners stay, deaf: taking four off costs more than calling one in vain.
    const end = (result: BodyResult): void => {
      if (over) return
      over = true
      cancelTimer()
      limits.held.evict = null
      resolve(result)
    }
    const refuse = (code: ErrorCode): void => {
      request.pause()
      body.clear()
      end({ ok: false, code })
    }
    const finish = (whole: boolean): void => {
      if (over) return
      const bytes = body.whole()
      limits.resize(body.kept)
      end({ ok: true, bytes, whole })
    }
    let heardAt = startedAt
    // One timer that looks when it fires: most bodies arrive with their head.
    const watch = (waitMs: number): void => {
      cancelTimer = limits.clock.after(waitMs, () => {
        const leftMs = heardAt + IDLE_MS_MAX - limits.clock.nowMs()
        if (leftMs > 0) return watch(leftMs)
        refuse('request_timeout')
      })
    }
    const onData = (chunk: Buffer): void => {
      if (over) return
      if (body.length + chunk.length > limits.maxBytes) return refuse('request_too_large')
      heardAt = limits.clock.nowMs()
      const lateMs = heardAt - startedAt - IDLE_MS_MAX
      if (body.length + chunk.length < lateMs * RATE_MIN) return refuse('request_timeout')
      body.push(chunk)
      const full = limits.resize(body.kept)
      if (full !== null) return refuse(full)
      if (limits.enough?.(chunk, body.length) !== true) return
      request.pause()
      finish(false)
    }
    const onEnd = (): void => finish(true)
    const onGone = (): void => end({ ok: false, code: null })
    limits.held.evict = refuse
    watch(IDLE_MS_MAX)
    request.on('data', onData).on('end', onEnd).on('error', onGone).on('close', onGone)
  })
}

function nothing(): void {}

/** Held between the two connections: what Node reads at once. */
const CHUNK_BYTES = 64 * 1024

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

/** A form of which the beginning has been read. */
export interface FormStart {
  /** That beginning, as it is to be sent. */
  readonly first: Buffer
  /** Sees the rest go by. */
  readonly look: (chunk: Buffer) => void
}

/**
 * The body as a stream that the forwarder may destroy: when the upstream refuses or answers early
 * it does, and the client's own stream, destroyed, would take the connection along before the answer
 * is out. A body that the client cuts is cut here, too, and never ends.
 *
 * Node reads a body into a new 64 KiB buffer each time, which only the next collection frees: 200 MB
 * at full speed made a heap of 70 to 90 MB of read buffers. So what the upstream's socket has given
 * to the kernel (`flushed`: all that it was given) is freed here, at the next chunk.
 */
export function detached(
  request: IncomingMessage,
  flushed: () => boolean,
  form: FormStart | null = null,
): Readable {
  const passed: Buffer[] = []
  let begun = false
  const body = new Transform({
    highWaterMark: CHUNK_BYTES,
    transform(chunk: Buffer, _encoding, done) {
      if (body.readableLength === 0 && flushed()) for (const one of passed.splice(0)) free(one)
      if (begun) form?.look(chunk)
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
  if (form !== null) body.write(form.first)
  begun = true
  return request.pipe(body)
}

/** Frees the memory of a body that will not be sent again; false: it has not. What is smaller than what
 *  Node reads at once counts for little in the room, and freeing it costs 4 µs. */
export function freeBody(body: Buffer): boolean {
  return body.length >= CHUNK_BYTES && free(body)
}

/** Frees the memory of a chunk that has it for itself; false: it does not. The chunk is empty
 *  afterwards. */
function free(chunk: Buffer): boolean {
  const { buffer } = chunk
  const { byteLength } = chunk
  const owns = byteLength > 0 && buffer instanceof ArrayBuffer && buffer.byteLength === byteLength
  if (owns) buffer.transfer(0)
  return owns
}
