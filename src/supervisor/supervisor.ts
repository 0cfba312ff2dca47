import type { GateEvent } from '../core/event.ts'
import type { ProcessStatus } from '../core/owned/process.ts'
import { Owner, type OwnerDeps } from './owner.ts'
import type { Plan } from './machine.ts'

/**
 * Starts and restarts the engines that the operator told it to own, and no other. The prober only
 * changes routing; this is the opt-in part that changes the machine (docs/supervisor.md).
 */
export class Supervisor {
  readonly #deps: OwnerDeps
  readonly #owners = new Map<string, Owner>()
  #unsubscribe: (() => void) | null = null
  #stopped = false

  constructor(deps: OwnerDeps) {
    this.#deps = deps
  }

  /** Takes the plans that are in force; the table must have been configured already. Engines that
   *  are no longer named are drained and ended, changed ones restarted, new ones started. */
  configure(plans: readonly Plan[]): void {
    if (this.#stopped) return
    if (plans.length > 0 && this.#unsubscribe === null) {
      this.#unsubscribe = this.#deps.store.subscribe((now) => {
        for (const owner of this.#owners.values()) owner.changed(now)
      })
      this.#deps.listen((event) => this.#observe(event))
    }
    for (const [name, owner] of this.#owners) {
      if (plans.some((plan) => plan.name === name)) continue
      owner.configure(null)
      if (owner.isDone) this.#owners.delete(name)
    }
    for (const plan of plans) {
      const owner = this.#owners.get(plan.name) ?? new Owner(plan, this.#deps)
      this.#owners.set(plan.name, owner)
      owner.configure(plan)
    }
  }

  /** Hears of traffic: an engine that clients use is not idle. */
  #observe(event: GateEvent): void {
    if (event.type === 'exchange_ended' && event.upstream !== null) {
      this.#owners.get(event.upstream)?.used()
    }
  }

  /** Null: the gate does not own this engine. */
  statusOf(name: string): ProcessStatus | null {
    return this.#owners.get(name)?.status() ?? null
  }

  /** Ends every engine. Resolves when nothing of them is left; never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#unsubscribe?.()
    await Promise.all([...this.#owners.values()].map((owner) => owner.stop()))
  }
}
