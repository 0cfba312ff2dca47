import type { GateEvent } from '../core/event.ts'
import type { EndCause, ProcessPhase, ProcessStep } from '../core/owned/process.ts'
import type { Clock } from '../runtime/clock.ts'
import type { TableStore } from '../state/table-store.ts'

/** Where an owner speaks to. */
export interface TellingDeps {
  readonly store: TableStore
  readonly clock: Clock
  readonly emit: (event: GateEvent) => void
}

/** What one owner tells: phases to the routing table, steps to the operator. */
export class Telling {
  readonly #name: string
  readonly #deps: TellingDeps
  #phase: ProcessPhase | null = null
  #epoch = 0

  constructor(name: string, deps: TellingDeps) {
    this.#name = name
    this.#deps = deps
  }

  /** Tells the table, unless it knows. */
  phase(phase: ProcessPhase | null): void {
    if (phase === this.#phase && phase !== 'starting' && phase !== 'waking') return
    this.#phase = phase
    this.#apply()
  }

  /** The entry has this epoch now: what was told of another one is void there. */
  epoch(epoch: number): void {
    if (epoch !== this.#epoch && this.#phase !== null) this.#apply()
  }

  step(step: ProcessStep, cause: EndCause | null, text: string): void {
    this.#deps.emit({ type: 'engine_process', upstream: this.#name, step, cause, text })
  }

  #apply(): void {
    const { store, clock } = this.#deps
    const entry = store.current.entries.find(({ spec }) => spec.name === this.#name)
    if (entry === undefined) return
    this.#epoch = entry.epoch
    const evidence = { type: 'process', at: clock.nowMs(), phase: this.#phase } as const
    store.apply({ type: 'evidence', name: this.#name, epoch: entry.epoch, evidence })
  }
}
