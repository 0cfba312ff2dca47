import type { Evidence } from '../core/health/evidence.ts'
import {
  ARRIVED,
  type AttemptEnding,
  type ExchangeEffect,
  type ExchangeEvent,
  type ExchangeState,
  type Flow,
  type Wish,
} from '../core/exchange/exchange.ts'
import { next } from '../core/exchange/next.ts'
import type { ProxyDeps } from './deps.ts'
import type { Lease } from './leases.ts'

/** What needs a connection, to an upstream or to the client. */
export type Deed = Exclude<
  ExchangeEffect,
  { type: 'wait' | 'decide' | 'release' | 'evidence' | 'budget' | 'emit' }
>

export type DriveDeps = Pick<
  ProxyDeps,
  'store' | 'leases' | 'holds' | 'budget' | 'clock' | 'random' | 'emit'
>

/**
 * Carries one request from state to state over the books of the gate: table, leases, waits, budget.
 * It decides nothing: `core/exchange` does, and `hands` do what needs a connection.
 */
export class Drive {
  readonly #deps: DriveDeps
  readonly #wish: Wish
  readonly #hands: (deed: Deed, lease: Lease | null) => void
  readonly #ended = Promise.withResolvers<void>()
  /** Resolves after the end; rejects if a bug of ours keeps it from going on. */
  readonly ended: Promise<void> = this.#ended.promise
  #state: ExchangeState = ARRIVED
  #lease: Lease | null = null
  #stopWaiting = (): void => {}
  readonly #inFlight = (name: string): number => this.#deps.leases.count(name)

  constructor(deps: DriveDeps, wish: Wish, hands: (deed: Deed, lease: Lease | null) => void) {
    this.#deps = deps
    this.#wish = wish
    this.#hands = hands
  }

  get state(): ExchangeState {
    return this.#state
  }

  /** One event and all that follows from it at once; what was to be done for it. */
  tell(event: ExchangeEvent): readonly ExchangeEffect[] {
    if (this.#state.now.kind === 'over') return []
    const { store, holds, budget, clock, random } = this.#deps
    try {
      const { state, effects } = next(this.#state, event, {
        wish: this.#wish,
        table: store.current,
        nowMs: clock.nowMs(),
        inFlight: this.#inFlight,
        waiting: holds.waiting,
        budget: budget.left,
        random,
      })
      this.#state = state
      for (const effect of effects) this.#do(effect)
      return effects
    } catch (error) {
      this.#ended.reject(error)
      return []
    }
  }

  look(flow: Flow): void {
    if (this.#lease !== null) this.tell({ type: 'look', item: this.#lease.item, flow })
  }

  attemptEnded(ending: AttemptEnding): void {
    const lease = this.#lease
    if (lease === null) return
    const pausedMs = lease.pausedMs(this.#deps.clock.nowMs())
    this.tell({ type: 'attempt_ended', ending, item: lease.item, pausedMs })
  }

  /** Gives back what it holds, whatever has happened. */
  release(): void {
    this.#lease?.release()
    this.#lease = null
  }

  #do(effect: ExchangeEffect): void {
    switch (effect.type) {
      case 'send': {
        const { spec, epoch } = effect.entry
        const { size, wants } = this.#wish
        const sentAt = this.#deps.clock.nowMs()
        const item = { ...size, sentAt, contentAt: null, cold: effect.cold }
        this.#lease = this.#deps.leases.take(spec.name, epoch, item, wants.work)
        return this.#hands(effect, this.#lease)
      }
      case 'wait': {
        const { done, stop } = this.#deps.holds.wait(effect.untilMs)
        this.#stopWaiting = stop
        void done.then((late) => this.tell({ type: late ? 'waited' : 'decide' }))
        return
      }
      case 'decide':
        this.tell({ type: 'decide' })
        return
      case 'release':
        return this.release()
      case 'evidence': {
        const { upstream, epoch, evidence } = effect
        return report(this.#deps, { upstream, epoch }, evidence)
      }
      case 'budget':
        this.#deps.budget.left = effect.left
        return
      case 'emit':
        return this.#deps.emit(effect.event)
      case 'over':
        this.#stopWaiting()
        this.#hands(effect, null)
        this.#ended.resolve()
        return
      case 'replay':
      case 'abandon':
      case 'commit_pending':
      case 'answer':
      case 'pass_on':
      case 'end':
      case 'cut':
      case 'hang_up':
        return this.#hands(effect, this.#lease)
    }
  }
}

/** Applies evidence about one upstream, at the epoch in which it was gathered. */
export function report(
  deps: Pick<ProxyDeps, 'store'>,
  about: { readonly upstream: string; readonly epoch: number },
  evidence: Evidence,
): void {
  deps.store.apply({ type: 'evidence', name: about.upstream, epoch: about.epoch, evidence })
}
