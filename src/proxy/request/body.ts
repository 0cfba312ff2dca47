import type { IncomingMessage } from 'node:http'
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

/** A body may pause for this long between two chunks. */
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
