import { isReportDue } from '../core/exchange/trying.ts'
import type { Flight, FlightItem } from '../core/health/evidence.ts'
import type { OtherWork, Work } from '../core/model/model-choice.ts'
import type { Clock } from '../runtime/clock.ts'
import type { TableStore } from '../state/table-store.ts'

/** Requests listed in a flight at most: enough to excuse a silence, and no more to copy. */
const ITEMS_MAX = 16

/** What is in flight at one upstream. */
interface Group {
  readonly held: Set<Lease>
  /** The epoch that counts: evidence of older ones is dropped, and must not take their turn. */
  epoch: number
  reportedAt: number
  longestGapMs: number
}

/** What one exchange holds at one upstream while its attempt runs. Released exactly once. */
export class Lease {
  readonly upstream: string
  readonly epoch: number
  /** What its answer proves; null: nothing of a model's work. */
  readonly work: Work | null
  readonly #group: Group
  readonly #freed: ReadonlySet<() => void>
  readonly #item: FlightItem
  #contentAt: number | null
  #workedAt: number | null = null
  #pausedAt: number | null = null
  #pausedMs = 0

  constructor(
    what: Pick<Lease, 'upstream' | 'epoch' | 'item' | 'work'>,
    group: Group,
    freed: ReadonlySet<() => void>,
  ) {
    this.upstream = what.upstream
    this.epoch = what.epoch
    this.work = what.work
    this.#item = what.item
    this.#contentAt = what.item.contentAt
    this.#group = group
    this.#freed = freed
  }

  /** Has content come? */
  get begun(): boolean {
    return this.#contentAt !== null
  }

  /** A plain value that stays as it is: snapshots stay as they were. */
  get item(): FlightItem {
    const contentAt = this.#contentAt
    if (contentAt === null && this.#workedAt !== null) {
      return { ...this.#item, workedAt: this.#workedAt }
    }
    return this.#item.contentAt === contentAt ? this.#item : { ...this.#item, contentAt }
  }

  /** Its engine is further with the prompt. */
  workedAt(atMs: number): void {
    this.#workedAt = atMs
  }

  /** Content came. */
  contentAt(atMs: number): void {
    this.#contentAt = atMs
  }

  get paused(): boolean {
    return this.#pausedAt !== null
  }

  /** We stop reading, since its client takes nothing: nobody can tell how its upstream gets on. */
  pause(atMs: number): void {
    this.#pausedAt ??= atMs
  }

  /** We read on: what follows counts from now. */
  resume(atMs: number): void {
    this.#pausedMs = this.pausedMs(atMs)
    this.#pausedAt = null
    if (this.begun) this.#contentAt = atMs
  }

  /** For how long nothing was read of it so far, ms. */
  pausedMs(atMs: number): number {
    return this.#pausedMs + (this.#pausedAt === null ? 0 : atMs - this.#pausedAt)
  }

  /** Notes a gap between two tokens; the longest of all streams of the upstream when it is time to
   *  report one, else null. */
  progress(atMs: number, gapMs: number): number | null {
    const group = this.#group
    if (this.epoch !== group.epoch) return null
    group.longestGapMs = Math.max(group.longestGapMs, gapMs)
    if (!isReportDue(atMs - group.reportedAt)) return null
    const longest = group.longestGapMs
    group.reportedAt = atMs
    group.longestGapMs = 0
    return longest
  }

  release(): void {
    if (!this.#group.held.delete(this)) return
    for (const listener of this.#freed) listener()
  }
}

/** The book of what is in flight: counts for routing, snapshots for evidence. */
export class Leases {
  readonly #held = new Map<string, Group>()
  readonly #freed = new Set<() => void>()

  /** Its silence is evidence about its own kind of work; what is not work is only counted. */
  take(upstream: string, epoch: number, item: FlightItem, work: Work | null = 'generation'): Lease {
    const group = this.#groupOf(upstream, epoch)
    const held = new Lease({ upstream, epoch, item, work }, group, this.#freed)
    group.held.add(held)
    return held
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
    const others: Partial<Record<OtherWork, FlightItem>> = {}
    let waiting = 0
    let last: Lease | null = null
    for (const held of group.held) {
      const { work } = held
      if (work === null || held.paused) continue
      if (work !== 'generation') {
        if (!held.begun) others[work] ??= held.item
        continue
      }
      if (items.length < ITEMS_MAX) items.push(held.item)
      if (!held.begun) waiting++
      last = held
    }
    return {
      inFlight: group.held.size,
      waiting,
      newest: last?.item ?? null,
      items,
      ...(Object.keys(others).length === 0 ? {} : { others }),
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

interface HoldDeps {
  readonly store: TableStore
  readonly leases: Leases
  readonly clock: Clock
}

export interface Waiting {
  /** Has it lasted as long as it may? Else something changed, or it was stopped. Never rejects. */
  readonly done: Promise<boolean>
  readonly stop: () => void
}

/** The requests that wait because nothing can take them now. */
export class Holds {
  readonly #deps: HoldDeps
  #waiting = 0

  constructor(deps: HoldDeps) {
    this.#deps = deps
  }

  /** How many wait now. */
  get waiting(): number {
    return this.#waiting
  }

  /** Waits until the table or the leases change, or until `untilMs`. */
  wait(untilMs: number): Waiting {
    const { clock, store, leases } = this.#deps
    this.#waiting++
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const end = (late: boolean): void => {
      if (over) return
      over = true
      this.#waiting--
      cancel()
      unsubscribe()
      unlisten()
      resolve(late)
    }
    let over = false
    const cancel = clock.after(untilMs - clock.nowMs(), () => end(true))
    const unsubscribe = store.onVisible(() => end(false))
    const unlisten = leases.onFreed(() => end(false))
    return { done: promise, stop: () => end(false) }
  }
}
