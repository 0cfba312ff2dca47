import type { IncomingMessage } from 'node:http'
import type { Lane } from '../../api/index.ts'
import { Gather } from '../../core/gather.ts'
import type { ErrorCode } from '../../errors/catalogue.ts'
import type { Clock } from '../../runtime/clock.ts'
import { boundaryOf, type Form, FormScan } from './form.ts'
import { type ScannedBody, scanBody, scanLargeBody, SLICE_BYTES, UNREAD } from './scan.ts'

/** A request body as far as it is known before it is sent. */
export interface Body {
  readonly body: Buffer
  /** A body that is not read before it is sent; null: it is in `body`. */
  readonly upload: IncomingMessage | null
  readonly scan: ScannedBody
  /** A multipart form as far as it was read; null: the body is not a form. */
  readonly form: Form | null
}

/** Why a request is not forwarded. */
export interface Refusal {
  readonly code: ErrorCode
  readonly detail?: string
  readonly param?: string | null
  /** The rest of the body was not read: the connection cannot be used again. */
  readonly close?: boolean
}

/** What was read of a body; `whole`: to its end, and not only as far as was enough. */
type Read = Pick<Form, 'bytes' | 'whole'>

export interface BodyLimits {
  readonly maxBytes: number
  readonly clock: Clock
  /** Its place in the room for all of them. */
  readonly held: Pick<HeldBody, 'evict' | 'resize' | 'reserved'>
  /** Asked at each piece: is that enough, so that the rest stays in the request? Absent: all is read. */
  readonly enough?: (piece: Buffer, read: number) => boolean
}

const EMPTY = Buffer.alloc(0)
/** What is read of a body before it is sent, as its lane wants it; a refusal; or null: the client has
 *  left. A large JSON body is scanned in turns; what is not read goes on as it arrives. */
export async function readByLane(
  request: IncomingMessage,
  lane: Lane,
  limits: BodyLimits,
): Promise<Body | Refusal | null> {
  const { headers } = request
  const type = headers['content-type'] ?? ''
  const byType = lane.body === 'by_type'
  if (byType && /^multipart\/form-data\b/i.test(type)) return readForm(request, type, limits)
  if (lane.body === 'streamed' || (byType && !/^application\/json\b/i.test(type))) {
    const length = headers['content-length'] ?? '0'
    const has = headers['transfer-encoding'] !== undefined || length !== '0'
    return { body: EMPTY, upload: has ? request : null, scan: UNREAD, form: null }
  }
  const read = await readBody(request, limits)
  if (read === null || 'code' in read) return read
  const { bytes: body } = read
  const isLarge = body.length > SLICE_BYTES
  const scan = isLarge ? await scanLargeBody(body, limits.clock) : scanBody(body)
  if (!scan.ok) return { code: scan.code, param: scan.param }
  // Its answer goes on as it comes, so nothing is promised before.
  return { body, upload: null, scan: byType ? { ...scan, stream: false } : scan, form: null }
}

/** Clients write the model first, or right after the file: it is looked for in so much. */
const LOOK_BYTES = 64 * 1024

/**
 * Reads a form until its model is known. Without one in the first 64 KiB the rest is held, if its
 * declared length fits `maxBytes` and there is room, since clients may write the file first; else it
 * goes on with its model unseen. Never rejects.
 */
async function readForm(
  request: IncomingMessage,
  type: string,
  limits: BodyLimits,
): Promise<Body | Refusal | null> {
  const boundary = boundaryOf(type)
  if (boundary === null) {
    return { code: 'invalid_form', detail: 'Its Content-Type names no boundary.', close: true }
  }
  const declared = Number(request.headers['content-length'] ?? Number.NaN)
  const scan = new FormScan(boundary)
  let fits: boolean | null = null
  const enough = (piece: Buffer, read: number): boolean => {
    scan.push(piece)
    if (scan.fault !== null || scan.model !== null || scan.ended) return true
    if (read < LOOK_BYTES || scan.within) return false
    fits ??= declared <= limits.maxBytes && reserve(limits, declared, read)
    return !fits
  }
  const read = await readBody(request, { ...limits, maxBytes: Number.POSITIVE_INFINITY, enough })
  if (read === null || 'code' in read) return read
  if (scan.fault !== null) return { ...scan.fault, param: 'model', close: true }
  const [body, upload] = read.whole ? [read.bytes, null] : [EMPTY, request]
  return { body, upload, scan: { ...UNREAD, model: scan.model }, form: { ...read, scan } }
}

/** Keeps room for all of it; false: there is none. */
function reserve({ held }: BodyLimits, bytes: number, read: number): boolean {
  held.reserved = bytes
  if (held.resize(read) === null) return true
  held.reserved = 0
  return false
}

/** A body may pause for this long between two chunks, ms, whether it is held or goes on. */
export const IDLE_MS_MAX = 10_000
/** And may take this long for each 16 bytes, beyond those ten seconds, ms: 64 MiB in 70 minutes. */
const RATE_MIN = 16
/** What Node reads at once. */
export const CHUNK_BYTES = 64 * 1024

/**
 * Reads a whole request body up to `maxBytes`. A declared length beyond the limit is refused before
 * a byte is read, a body that stops arriving after ten seconds, one that trickles when it falls below
 * its rate. Null: the client left before its end. Never rejects.
 */
export function readBody(
  request: IncomingMessage,
  limits: BodyLimits,
): Promise<Read | Refusal | null> {
  const { clock, held, maxBytes } = limits
  const declared = Number(request.headers['content-length'] ?? '0')
  if (declared > maxBytes) return Promise.resolve({ code: 'request_too_large', close: true })
  return new Promise((resolve) => {
    const body = new Gather()
    const startedAt = clock.nowMs()
    let cancelTimer: (() => void) | null = null
    let over = false
    // The listeners stay, deaf: taking four off costs more than calling one in vain.
    const end = (result: Read | Refusal | null): void => {
      if (over) return
      over = true
      cancelTimer?.()
      held.evict = null
      resolve(result)
    }
    const refuse = (code: ErrorCode): void => {
      request.pause()
      body.clear()
      end({ code, close: true })
    }
    const finish = (whole: boolean): void => {
      if (over) return
      const bytes = body.whole()
      held.resize(body.kept)
      end({ bytes, whole })
    }
    let heardAt = startedAt
    // One timer that looks when it fires: most bodies arrive with their head.
    const watch = (waitMs: number): void => {
      cancelTimer = clock.after(waitMs, () => {
        const leftMs = heardAt + IDLE_MS_MAX - clock.nowMs()
        if (leftMs > 0) return watch(leftMs)
        refuse('request_timeout')
      })
    }
    const onData = (chunk: Buffer): void => {
      if (over) return
      if (body.length + chunk.length > maxBytes) return refuse('request_too_large')
      heardAt = clock.nowMs()
      const lateMs = heardAt - startedAt - IDLE_MS_MAX
      if (body.length + chunk.length < lateMs * RATE_MIN) return refuse('request_timeout')
      body.push(chunk)
      const full = held.resize(body.kept)
      if (full !== null) return refuse(full)
      if (limits.enough?.(chunk, body.length) !== true) return
      request.pause()
      finish(false)
    }
    const onGone = (): void => end(null)
    held.evict = refuse
    watch(IDLE_MS_MAX)
    request
      .on('data', onData)
      .on('end', () => finish(true))
      .on('error', onGone)
      .on('close', onGone)
  })
}

/** Frees the memory of a body that will not be sent again; false: it has not. What is smaller than what
 *  Node reads at once counts for little in the room, and freeing it costs 4 µs. */
export function freeBody(body: Buffer): boolean {
  return body.length >= CHUNK_BYTES && free(body)
}

/** Frees the memory of a chunk that has it for itself; false: it does not. The chunk is empty
 *  afterwards. */
export function free(chunk: Buffer): boolean {
  const { buffer, byteLength } = chunk
  const owns = byteLength > 0 && buffer instanceof ArrayBuffer && buffer.byteLength === byteLength
  if (owns) buffer.transfer(0)
  return owns
}

/** All request bodies together may hold this many times the limit of one. */
const BODIES_MAX = 4
/** Who sends more slowly than this is the first to go when there is no room, bytes a millisecond. */
const HEALTHY_RATE = 64
/** Over which the rate is measured, ms: a body that comes fast and then trickles is slow. */
const WINDOW_MS = 2_000

/** What one body holds of the room. */
export class HeldBody {
  /** The address that it comes from. */
  readonly from: string
  /** Of the room. */
  bytes = 0
  /** Kept for what is still to come of it: it holds so much at least. */
  reserved = 0
  /** It holds so much memory from now on. Null, or why it cannot. */
  readonly resize: (bytes: number) => ErrorCode | null
  /** Ends its reading; null: it does not arrive any more, and cannot be ended. */
  evict: ((code: ErrorCode) => void) | null = null
  #rate = Number.POSITIVE_INFINITY
  #markAt: number
  #markBytes = 0
  #arrived = 0
  constructor(from: string, nowMs: number, resize: HeldBody['resize']) {
    this.from = from
    this.resize = resize
    this.#markAt = nowMs
  }

  /** Bytes a millisecond of late; infinite in the first moments. */
  rate(nowMs: number): number {
    const ms = nowMs - this.#markAt
    return ms < WINDOW_MS ? this.#rate : (this.#arrived - this.#markBytes) / ms
  }

  /** So many bytes have come. */
  mark(arrived: number, nowMs: number): void {
    this.#arrived = arrived
    if (nowMs - this.#markAt < WINDOW_MS) return
    this.#rate = this.rate(nowMs)
    this.#markAt = nowMs
    this.#markBytes = arrived
  }
}

/**
 * The room for all buffered bodies, so that many large requests at once cannot exhaust the memory.
 * When it is full, those who arrive slowly have to go, the slowest first; then, of those who arrive,
 * the largest of the address that holds most. Only when that is the newcomer it is refused.
 */
export class Buffered {
  readonly #nowMs: () => number
  readonly #held = new Set<HeldBody>()
  #bytes = 0

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** `maxBytes`: the limit of one body. */
  begin(from: string, maxBytes: number): HeldBody {
    const held: HeldBody = new HeldBody(from, this.#nowMs(), (bytes) =>
      this.#resize(held, bytes, maxBytes),
    )
    this.#held.add(held)
    return held
  }

  #resize(held: HeldBody, bytes: number, maxBytes: number): ErrorCode | null {
    const nowMs = this.#nowMs()
    const room = Math.max(bytes, held.reserved)
    while (this.#bytes + room - held.bytes > BODIES_MAX * maxBytes) {
      const code = this.#makeRoom(held, room, nowMs)
      if (code !== null) return code
    }
    this.#bytes += room - held.bytes
    held.bytes = room
    held.mark(bytes, nowMs)
    return null
  }

  /** It holds nothing any more. May be called again. */
  give(held: HeldBody): void {
    this.#held.delete(held)
    this.#bytes -= held.bytes
    held.bytes = 0
    held.evict = null
  }

  /** Ends one of those that arrive; or says that it has to be the newcomer. */
  #makeRoom(newcomer: HeldBody, wanted: number, nowMs: number): ErrorCode | null {
    const slow = this.#slowest(nowMs)
    const gone = slow ?? this.#largest(newcomer, wanted)
    const code = slow === null ? 'gate_overloaded' : 'request_timeout'
    if (gone === newcomer) return code
    const { evict } = gone
    this.give(gone)
    evict?.(code)
    return null
  }

  #slowest(nowMs: number): HeldBody | null {
    let slowest: HeldBody | null = null
    for (const held of this.#held) {
      if (held.evict === null || held.bytes === 0 || held.rate(nowMs) >= HEALTHY_RATE) continue
      if (slowest === null || held.rate(nowMs) < slowest.rate(nowMs)) slowest = held
    }
    return slowest
  }

  #largest(newcomer: HeldBody, wanted: number): HeldBody {
    const byAddress = new Map<string, number>()
    const sizeOf = (held: HeldBody): number => (held === newcomer ? wanted : held.bytes)
    for (const held of this.#held) {
      byAddress.set(held.from, (byAddress.get(held.from) ?? 0) + sizeOf(held))
    }
    const share = (held: HeldBody): number => byAddress.get(held.from) ?? 0
    let largest = newcomer
    for (const held of this.#held) {
      if (held.evict === null) continue
      const more = share(held) - share(largest)
      if (more > 0 || (more === 0 && sizeOf(held) > sizeOf(largest))) largest = held
    }
    return largest
  }
}
