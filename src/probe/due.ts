import { nextProbeAt } from '../core/health/schedule.ts'
import type { Entry, RoutingTable } from '../core/table.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import { LATE_MS } from './doubt.ts'

/** After a stall of ours, what came meanwhile is read before anything is asked: sockets are read
 *  between any two timers, so this need not be long, ms. */
const CATCH_UP_MS = 20

/** A view of the table from one upstream; null: it is not ours to probe any more. */
export type View = { readonly table: RoutingTable; readonly entry: Entry } | null

/**
 * Waits until the next probe of one upstream is due. A change that makes it due sooner moves the
 * timer; one that makes it due later does not, since a timer that fires looks again.
 */
export class Due {
  readonly #clock: Clock
  readonly #random: Random
  readonly #view: () => View
  #jitter = 0
  #plan: (() => void) | null = null
  #armedAt = Infinity

  constructor(clock: Clock, random: Random, view: () => View) {
    this.#clock = clock
    this.#random = random
    this.#view = view
  }

  /** Resolves when a probe is due, or when there is nothing left to probe. */
  wait(): Promise<void> {
    this.#jitter = this.#random() * 2 - 1
    return new Promise((resolve) => {
      let cancel: (() => void) | null = null
      const plan = (): void => {
        // Reading can let a verdict change, which can plan anew or even end the wait: read first.
        const view = this.#view()
        if (this.#plan !== plan) return
        cancel?.()
        const nowMs = this.#clock.nowMs()
        const at = view === null ? nowMs : this.#nextAt(view.table, view.entry, nowMs)
        if (at <= nowMs) {
          this.#plan = null
          return resolve()
        }
        this.#armedAt = at
        // Rounded up: a timer cut to whole milliseconds would come too early and turn round.
        cancel = at === Infinity ? null : this.#clock.after(Math.ceil(at - nowMs), () => fire(at))
      }
      const fire = (at: number): void => {
        if (this.#clock.nowMs() - at <= LATE_MS) return plan()
        cancel = this.#clock.after(CATCH_UP_MS, plan)
      }
      this.#plan = plan
      plan()
    })
  }

  /** Something that can make the next probe due sooner has changed. */
  changed(table: RoutingTable, entry: Entry): void {
    if (this.#plan === null) return
    if (this.#nextAt(table, entry, this.#clock.nowMs()) < this.#armedAt) this.#plan()
  }

  /** Looks again: the loop was stopped. */
  wake(): void {
    this.#plan?.()
  }

  #nextAt(table: RoutingTable, entry: Entry, nowMs: number): number {
    return nextProbeAt(table, entry, nowMs, this.#jitter)
  }
}
