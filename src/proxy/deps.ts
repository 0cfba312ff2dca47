import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { FailoverBudget } from '../core/exchange/budget.ts'
import type { Evidence } from '../core/health/evidence.ts'
import type { GateEvent } from '../core/event.ts'
import type { Handed } from '../core/handed.ts'
import type { Answer } from '../errors/answer.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { TableStore } from '../state/table-store.ts'
import type { Buffered } from './request/buffered.ts'
import type { Form } from './request/form.ts'
import type { Holds } from './hold.ts'
import type { Lane } from '../api/index.ts'
import type { Leases } from './leases.ts'
import type { Pools } from './upstream/pools.ts'
import type { ScannedBody } from './request/scan.ts'
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
export interface Asked {
  readonly requestId: string
  readonly method: string
  readonly lane: Lane
  /** Canonical path, and the query with its question mark, or ''. */
  readonly path: string
  readonly query: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** Nobody will send the body again: its memory is given back, and it is empty. */
  readonly bodySent: () => void
  /** A body that is not read before it is sent; null: it is in `body`. */
  readonly upload: IncomingMessage | null
  readonly scan: ScannedBody
  /** A multipart form as far as it was read; null: the body is not a form. */
  readonly form: Form | null
  /** The upstream that keeps what the request refers to; null: any may have it. */
  readonly only: string | null
  readonly settings: ExchangeSettings
  /** CORS headers for an allowed origin; empty otherwise. */
  readonly cors: Readonly<Record<string, string>>
  /** The `Via` that goes on to the upstream. */
  readonly via: string
  readonly arrivedAt: number
}

/** Applies evidence about one upstream, at the epoch in which it was gathered. */
export function report(
  deps: Pick<ProxyDeps, 'store'>,
  about: { readonly upstream: string; readonly epoch: number },
  evidence: Evidence,
): void {
  deps.store.apply({ type: 'evidence', name: about.upstream, epoch: about.epoch, evidence })
}
