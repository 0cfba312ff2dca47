import type { Flight, FlightItem } from '../core/evidence.ts'

/** What one exchange holds at one upstream while its attempt runs. Released exactly once. */
export interface Lease {
  readonly upstream: string
  readonly epoch: number
  readonly item: FlightItem
  /** Content came at `atMs`; the item is replaced, so that snapshots stay as they were. */
  contentAt(atMs: number): void
  /** Notes a gap between two tokens; the longest of all streams of the upstream when it is time to
   *  report one, else null. */
  progress(atMs: number, gapMs: number): number | null
  release(): void
}

/** Requests listed in a flight at most: enough to excuse a silence, and no more to copy. */
const ITEMS_MAX = 16

/** Progress is reported at most this often per upstream; the table needs no more. */
const REPORT_MS = 100

interface Held {
  readonly item: FlightItem
  readonly watched: boolean
  contentAt: number | null
}

/** What is in flight at one upstream. */
interface Group {
  readonly held: Set<Held>
  /** The epoch that counts: evidence of older ones is dropped, and must not take their turn. */
  epoch: number
  reportedAt: number
  longestGapMs: number
}

/** The book of what is in flight: counts for routing, snapshots for evidence. */
export class Leases {
  readonly #held = new Map<string, Group>()
  readonly #freed = new Set<() => void>()

  /** `watched`: its silence is evidence. What is not judged by its content is only counted. */
  take(upstream: string, epoch: number, item: FlightItem, watched = true): Lease {
    const held: Held = { item, watched, contentAt: item.contentAt }
    const group = this.#groupOf(upstream, epoch)
    group.held.add(held)
    const release = (): void => {
      if (!group.held.delete(held)) return
      for (const listener of this.#freed) listener()
    }
    return {
      upstream,
      epoch,
      get item() {
        return itemOf(held)
      },
      contentAt(atMs) {
        held.contentAt = atMs
      },
      progress(atMs, gapMs) {
        if (epoch !== group.epoch) return null
        group.longestGapMs = Math.max(group.longestGapMs, gapMs)
        if (atMs - group.reportedAt < REPORT_MS) return null
        const longest = group.longestGapMs
        group.reportedAt = atMs
        group.longestGapMs = 0
        return longest
      },
      release,
    }
  }

  count(upstream: string): number {
    return this.#held.get(upstream)?.held.size ?? 0
  }

  get total(): number {
    let total = 0
    for (const group of this.#held.values()) total += group.held.size
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
    if (group === undefined || group.held.size === 0) {
      return { inFlight: 0, waiting: 0, newest: null, items: [] }
    }
    const items: FlightItem[] = []
    let waiting = 0
    let last: Held | null = null
    for (const held of group.held) {
      if (!held.watched) continue
      if (items.length < ITEMS_MAX) items.push(itemOf(held))
      if (held.contentAt === null) waiting++
      last = held
    }
    return {
      inFlight: group.held.size,
      waiting,
      newest: last === null ? null : itemOf(last),
      items,
    }
  }

  #groupOf(upstream: string, epoch: number): Group {
    let group = this.#held.get(upstream)
    if (group === undefined) {
      group = { held: new Set(), epoch, reportedAt: Number.NEGATIVE_INFINITY, longestGapMs: 0 }
      this.#held.set(upstream, group)
    } else if (group.epoch < epoch) {
      group.epoch = epoch
      group.reportedAt = Number.NEGATIVE_INFINITY
      group.longestGapMs = 0
    }
    return group
  }

  upstreams(): string[] {
    return [...this.#held.keys()]
  }
}

/** As a plain value: snapshots stay as they were. */
function itemOf({ item, contentAt }: Held): FlightItem {
  return item.contentAt === contentAt ? item : { ...item, contentAt }
}
