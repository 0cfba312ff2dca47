import { needsStart } from '../core/owned/process.ts'
import type { RouteDecision } from '../core/route.ts'
import type { Entry } from '../core/table.ts'
import type { ErrorCode } from '../errors/catalogue.ts'
import type { ProxyDeps } from './deps.ts'

/** While nothing has been judged yet, a request waits for the first verdict, at most so long. */
const STARTING_MS_MAX = 10_000
/** A request waits for a slot at most so long. */
const QUEUE_MS_MAX = 60_000
/** A request waits for the start of its engine at most so long: vLLM on two busy cores was seen to
 *  take more than 200 s. */
const START_MS_MAX = 300_000
/** Requests that wait for a slot or for an upstream at once. */
const WAITING_MAX = 1_024

export interface Waiting {
  /** null: something changed, decide again. Else why it waited too long. Never rejects. */
  readonly done: Promise<ErrorCode | null>
  readonly stop: () => void
}

/** The requests that wait because nothing can take them now. Bounded in number and in time. */
export class Holds {
  readonly #deps: Pick<ProxyDeps, 'store' | 'leases' | 'clock'>
  #waiting = 0

  constructor(deps: Pick<ProxyDeps, 'store' | 'leases' | 'clock'>) {
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
    const { promise, resolve } = Promise.withResolvers<ErrorCode | null>()
    const end = (result: ErrorCode | null): void => {
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

/** Why a request cannot go on. `start`: its engine is being started for it. */
export type Blocked =
  | Extract<RouteDecision, { kind: 'hold' | 'wait_for_slot' }>
  | { readonly kind: 'start' }

/** Asks for the start of an engine that sleeps; null: it needs none. Who owns it reads the table. */
export function startFor(
  { spec, epoch, facts }: Entry,
  { store, clock }: Pick<ProxyDeps, 'store' | 'clock'>,
): Blocked | null {
  if (!needsStart(facts.process)) return null
  if (facts.wantedAt === null) {
    const evidence = { type: 'wanted', at: clock.nowMs() } as const
    store.apply({ type: 'evidence', name: spec.name, epoch, evidence })
  }
  return { kind: 'start' }
}

function limitOf(why: Blocked, holdMs: number): { limitMs: number; code: ErrorCode } {
  if (why.kind === 'wait_for_slot') return { limitMs: QUEUE_MS_MAX, code: 'queue_timeout' }
  if (why.kind === 'start') return { limitMs: START_MS_MAX, code: 'upstream_starting' }
  if (why.starting) return { limitMs: Math.max(holdMs, STARTING_MS_MAX), code: 'upstream_starting' }
  return { limitMs: holdMs, code: 'no_eligible_upstream' }
}
