import type { ErrorCode } from '../../errors/catalogue.ts'

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
  /** Ends its reading; null: it does not arrive any more, and cannot be ended. */
  evict: ((code: ErrorCode) => void) | null = null
  #rate = Number.POSITIVE_INFINITY
  #markAt: number
  #markBytes = 0
  #arrived = 0

  constructor(from: string, nowMs: number) {
    this.from = from
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

  begin(from: string): HeldBody {
    const held = new HeldBody(from, this.#nowMs())
    this.#held.add(held)
    return held
  }

  /** The body holds `bytes` of memory from now on. Null, or why it cannot. `maxBytes`: the limit of
   *  one body. */
  resize(held: HeldBody, bytes: number, maxBytes: number): ErrorCode | null {
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
