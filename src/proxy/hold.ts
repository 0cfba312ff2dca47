import type { Clock } from '../runtime/clock.ts'
import type { TableStore } from '../state/table-store.ts'
import type { Leases } from './leases.ts'

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
    const unsubscribe = store.subscribe((now, before) => {
      if (now.generation !== before.generation) end(false)
    })
    const unlisten = leases.onFreed(() => end(false))
    return { done: promise, stop: () => end(false) }
  }
}
