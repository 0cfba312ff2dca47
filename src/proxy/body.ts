import type { IncomingMessage } from 'node:http'
import type { ErrorCode } from '../errors/catalogue.ts'
import type { Clock } from '../runtime/clock.ts'

export type BodyResult =
  | { readonly ok: true; readonly bytes: Buffer }
  | { readonly ok: false; readonly code: ErrorCode }
  /** The client left before the end of its body. */
  | { readonly ok: false; readonly code: null }

export interface BodyLimits {
  readonly maxBytes: number
  readonly clock: Clock
  /** Takes room for so many more bytes among all bodies; false: there is none. */
  readonly take: (bytes: number) => boolean
}

/** A body may pause for this long between two chunks. */
const IDLE_MS_MAX = 10_000

/**
 * Reads a whole request body up to `maxBytes`. A declared length beyond the limit is refused before
 * a byte is read, a body that stops arriving after ten seconds. Never rejects.
 */
export function readBody(request: IncomingMessage, limits: BodyLimits): Promise<BodyResult> {
  const declared = Number(request.headers['content-length'] ?? '0')
  if (declared > limits.maxBytes) return Promise.resolve({ ok: false, code: 'request_too_large' })
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let size = 0
    const startedAt = limits.clock.nowMs()
    let cancelTimer = nothing
    let over = false
    // The listeners stay, deaf: taking four off costs more than calling one in vain.
    const end = (result: BodyResult): void => {
      if (over) return
      over = true
      cancelTimer()
      resolve(result)
    }
    let heardAt = startedAt
    // One timer that looks when it fires: most bodies arrive with their head.
    const watch = (waitMs: number): void => {
      cancelTimer = limits.clock.after(waitMs, () => {
        const leftMs = heardAt + IDLE_MS_MAX - limits.clock.nowMs()
        if (leftMs > 0) return watch(leftMs)
        request.pause()
        end({ ok: false, code: 'request_timeout' })
      })
    }
    const onData = (chunk: Buffer): void => {
      if (over) return
      size += chunk.length
      if (size > limits.maxBytes) {
        request.pause()
        return end({ ok: false, code: 'request_too_large' })
      }
      if (!limits.take(chunk.length)) {
        request.pause()
        return end({ ok: false, code: 'gate_overloaded' })
      }
      // A kilobyte a second is a byte a millisecond.
      heardAt = limits.clock.nowMs()
      const tookMs = heardAt - startedAt
      if (tookMs > IDLE_MS_MAX && size < tookMs) {
        request.pause()
        return end({ ok: false, code: 'request_timeout' })
      }
      chunks.push(chunk)
    }
    const onEnd = (): void => {
      const [first] = chunks
      const bytes = chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks)
      end({ ok: true, bytes })
    }
    const onGone = (): void => end({ ok: false, code: null })
    watch(IDLE_MS_MAX)
    request.on('data', onData).on('end', onEnd).on('error', onGone).on('close', onGone)
  })
}

function nothing(): void {}
