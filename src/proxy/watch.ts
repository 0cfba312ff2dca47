import { NO_FLIGHT } from '../core/health/evidence.ts'
import type { ProxyDeps } from './deps.ts'

/** How often what is in flight is looked at, ms: a fraction of any deadline. */
const LOOK_MS = 200

/**
 * Looks at what is in flight while anything is: tells the table (so that silence becomes evidence)
 * and asks each exchange whether it should move on. Costs nothing while nothing is in flight.
 */
export class Watch {
  readonly #deps: ProxyDeps
  readonly #running = new Set<{ tick(nowMs: number): void }>()
  readonly #epochs = new Map<string, number>()
  #cancel: (() => void) | null = null

  constructor(deps: ProxyDeps) {
    this.#deps = deps
  }

  add(exchange: { tick(nowMs: number): void }): void {
    this.#running.add(exchange)
    this.#cancel ??= this.#deps.clock.after(LOOK_MS, () => this.#look())
  }

  remove(exchange: { tick(nowMs: number): void }): void {
    this.#running.delete(exchange)
    if (this.#running.size === 0) this.#rest()
  }

  close(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  #look(): void {
    this.#cancel = this.#deps.clock.after(LOOK_MS, () => this.#look())
    const nowMs = this.#deps.clock.nowMs()
    this.#deps.store.apply({ type: 'client_active', at: nowMs })
    this.#publish(nowMs)
    for (const exchange of this.#running) exchange.tick(nowMs)
  }

  /** Nothing is in flight any more: say so once, then sleep. */
  #rest(): void {
    this.close()
    this.#publish(this.#deps.clock.nowMs())
  }

  #publish(at: number): void {
    const { store, leases } = this.#deps
    for (const { spec, epoch } of store.current.entries) {
      const flight = leases.flight(spec.name)
      const known = this.#epochs.get(spec.name) === epoch
      if (flight.inFlight === 0 && !known) continue
      if (flight.inFlight === 0) this.#epochs.delete(spec.name)
      else this.#epochs.set(spec.name, epoch)
      const evidence = {
        type: 'flight',
        at,
        flight: flight.inFlight === 0 ? NO_FLIGHT : flight,
      } as const
      store.apply({ type: 'evidence', name: spec.name, epoch, evidence })
    }
  }
}
