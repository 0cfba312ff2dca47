import {
  emptyTable,
  nextTable,
  type RoutingTable,
  type TableConfig,
  type TableEvent,
} from '../core/table.ts'

/** Called after the table changed, with the table before and after. Must not throw. */
export type TableListener = (now: RoutingTable, before: RoutingTable) => void

/**
 * The one mutable cell: the current routing table and its only writer. `apply` is synchronous, so
 * nobody ever reads half a change.
 */
export class TableStore {
  #table: RoutingTable
  readonly #nowMs: () => number
  readonly #listeners = new Set<TableListener>()
  /** Changes that listeners have yet to hear of, oldest first. */
  readonly #untold: (readonly [now: RoutingTable, before: RoutingTable])[] = []
  #telling = false

  constructor(config: TableConfig, nowMs: () => number) {
    this.#nowMs = nowMs
    this.#table = emptyTable(config)
    this.apply({ type: 'configured', at: nowMs(), config })
  }

  /** The table as of now: verdicts that only time could change have been changed. */
  get current(): RoutingTable {
    const nowMs = this.#nowMs()
    if (nowMs >= this.#table.wakeAt) this.apply({ type: 'tick', at: nowMs })
    return this.#table
  }

  /** Takes effect at once. A listener may call it: the others then hear of both, in order. */
  apply(event: TableEvent): void {
    const before = this.#table
    this.#table = nextTable(before, event)
    this.#untold.push([this.#table, before])
    if (this.#telling) return
    this.#telling = true
    try {
      for (let told = this.#untold.shift(); told !== undefined; told = this.#untold.shift()) {
        for (const listener of this.#listeners) listener(...told)
      }
    } finally {
      this.#telling = false
    }
  }

  /** Listens to every event that was applied; the returned function stops it. */
  subscribe(listener: TableListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Listens to what a reader can see change, which most events do not. */
  onVisible(listener: TableListener): () => void {
    return this.subscribe((now, before) => {
      if (now.generation !== before.generation) listener(now, before)
    })
  }
}
