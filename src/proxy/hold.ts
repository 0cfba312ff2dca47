import type { EndCode } from '../core/exchange/ending.ts'
import { type Blocked, limitOf, WAITING_MAX } from '../core/exchange/hold.ts'
import { needsStart } from '../core/owned/process.ts'
import type { Entry } from '../core/entry.ts'
import type { Clock } from '../runtime/clock.ts'
import type { TableStore } from '../state/table-store.ts'
import type { Leases } from './leases.ts'

interface HoldDeps {
  readonly store: TableStore
  readonly leases: Leases
  readonly clock: Clock
}

export interface Waiting {
  /** null: something changed, decide again. Else why it waited too long. Never rejects. */
  readonly done: Promise<EndCode | null>
  readonly stop: () => void
}

/** The requests that wait because nothing can take them now. Bounded in number and in time. */
export class Holds {
  readonly #deps: HoldDeps
  #waiting = 0

  constructor(deps: HoldDeps) {
    this.#deps = deps
  }

  /** Waits until the table or the leases change, or until the wait has lasted too long. */
  wait(why: Blocked, arrivedAt: number, holdMs: number): Waiting {
    const { clock, store, leases } = this.#deps
    const { limitMs, code } = limitOf(why, holdMs)
    const leftMs = arrivedAt + limitMs - clock.nowMs()
    if (leftMs <= 0) return { done: Promise.resolve(code), stop: () => {} }
    if (this.#waiting >= WAITING_MAX) return { done: Promise.resolve('queue_full'), stop: () => {} }
    this.#waiting++
    const { promise, resolve } = Promise.withResolvers<EndCode | null>()
    const end = (result: EndCode | null): void => {
      if (over) return
      over = true
      this.#waiting--
      cancel()
      unsubscribe()
      unlisten()
      resolve(result)
    }
    let over = false
    const cancel = clock.after(leftMs, () => end(code))
    const unsubscribe = store.subscribe((now, before) => {
      if (now.generation !== before.generation) end(null)
    })
    const unlisten = leases.onFreed(() => end(null))
    return { done: promise, stop: () => end(null) }
  }
}

export type { Blocked }

/** Asks for the start of an engine that sleeps; null: it needs none. Who owns it reads the table. */
export function startFor(
  { spec, epoch, facts }: Entry,
  { store, clock }: Pick<HoldDeps, 'store' | 'clock'>,
): Blocked | null {
  if (!needsStart(facts.process)) return null
  if (facts.wantedAt === null) {
    const evidence = { type: 'wanted', at: clock.nowMs() } as const
    store.apply({ type: 'evidence', name: spec.name, epoch, evidence })
  }
  return { kind: 'start' }
}
