import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { FailoverBudget, Handed } from '../core/exchange/exchange.ts'
import type { GateEvent } from '../core/event.ts'
import type { Answer } from '../errors/answer.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { TableStore } from '../state/table-store.ts'
import type { Body, Buffered } from './request/body.ts'
import type { Holds, Leases } from './leases.ts'
import type { Lane } from '../api/index.ts'
import type { Pools } from './upstream/pools.ts'
import type { Sticky } from './sticky.ts'

/** The settings that one exchange keeps from its beginning to its end, whatever is reloaded. */
export interface ExchangeSettings {
  readonly commitDeadlineMs: number
  readonly holdMs: number
  readonly bodyMaxBytes: number
}

/** What the data plane needs of the rest: values and functions, no room. */
export interface ProxyDeps {
  readonly store: TableStore
  readonly pools: Pools
  readonly leases: Leases
  readonly holds: Holds
  readonly sticky: Sticky
  /** The one failover budget of this gate. */
  readonly budget: { left: FailoverBudget }
  readonly buffered: Buffered
  readonly clock: Clock
  readonly random: Random
  readonly emit: (event: GateEvent) => void
  /** `now`: the settings in force. */
  readonly config: { readonly now: ExchangeSettings }
  /** Refuses a request that has no exchange yet. */
  readonly send: (response: ServerResponse, handed: Handed, answer: Answer) => void
}

/** A request as the lane, the guards and the scanner have read it. */
export interface Asked extends Handed, Body {
  readonly method: string
  readonly lane: Lane
  readonly headers: IncomingHttpHeaders
  /** Nobody will send the body again: its memory is given back, and it is empty. */
  readonly bodySent: () => void
  /** The upstream that keeps what the request refers to; null: any may have it. */
  readonly only: string | null
  readonly settings: ExchangeSettings
  readonly arrivedAt: number
}
