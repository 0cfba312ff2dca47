import type { Flight, FlightItem } from '../core/evidence.ts'

/** What one exchange holds at one upstream while its attempt runs. Released exactly once. */
export interface Lease {
  readonly upstream: string
  readonly epoch: number
  readonly item: FlightItem
  /** Content came at `atMs`; the item is replaced, so that snapshots stay as they were. */
  contentAt(atMs: number): void
  release(): void
}

/** Requests listed in a flight at most: enough to excuse a silence, and no more to copy. */
const ITEMS_MAX = 16

interface Held {
  upstream: string
  epoch: number
  item: FlightItem
  watched: boolean
}

/** The book of what is in flight: counts for routing, snapshots for evidence. */
export class Leases {
  readonly #held = new Map<string, Set<Held>>()
  readonly #freed = new Set<() => void>()

  /** `watched`: its silence is evidence. What is not judged by its content is only counted. */
  take(upstream: string, epoch: number, item: FlightItem, watched = true): Lease {
    const held: Held = { upstream, epoch, item, watched }
    const group = this.#held.get(upstream) ?? new Set<Held>()
    this.#held.set(upstream, group.add(held))
    const release = (): void => {
      if (!group.delete(held)) return
      for (const listener of this.#freed) listener()
    }
    return {
      upstream,
      epoch,
      get item() {
        return held.item
      },
      contentAt(atMs) {
        held.item = { ...held.item, contentAt: atMs }
      },
      release,
    }
  }

  count(upstream: string): number {
    return this.#held.get(upstream)?.size ?? 0
  }

  get total(): number {
    let total = 0
    for (const group of this.#held.values()) total += group.size
    return total
  }

  /** Calls `listener` after each release; the returned function stops it. */
  onFreed(listener: () => void): () => void {
    this.#freed.add(listener)
    return () => this.#freed.delete(listener)
  }

  /** What is in flight at one upstream, as a plain value. A Set keeps the order of insertion. */
  flight(upstream: string): Flight {
    const group = this.#held.get(upstream)
    if (group === undefined || group.size === 0) {
      return { inFlight: 0, waiting: 0, newest: null, items: [] }
    }
    const items: FlightItem[] = []
    let newest: FlightItem | null = null
    let waiting = 0
    for (const { item, watched } of group) {
      if (!watched) continue
      if (items.length < ITEMS_MAX) items.push(item)
      if (item.contentAt === null) waiting++
      newest = item
    }
    return { inFlight: group.size, waiting, newest, items }
  }

  upstreams(): string[] {
    return [...this.#held.keys()]
  }
}
