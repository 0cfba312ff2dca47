import type { IncomingMessage, ServerResponse } from 'node:http'
import type { GateEvent } from '../core/event.ts'
import type { ErrorCode } from '../errors/catalogue.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Ask, OperatorParts } from './routes.ts'
import type { Upgrades } from './upgrades.ts'

/** What the guards say of a request, before anything else looks at it. */
export type GuardVerdict =
  | {
      readonly ok: true
      /** Canonical: guards, routes and forwarder share it. */
      readonly path: string
      /** With its question mark, or ''. */
      readonly query: string
      /** Every CORS header for an allowed origin, those of a preflight too; empty otherwise. */
      readonly cors: Readonly<Record<string, string>>
      /** It asks for a WebSocket, and its path is the one that has it. */
      readonly upgrade?: true
    }
  | {
      readonly ok: false
      readonly code: ErrorCode
      readonly detail?: string
      readonly param?: string | null
      readonly headers?: Readonly<Record<string, string>>
    }

/** What a proxied request brings along. */
export interface Handed extends Ask {
  readonly cors: Readonly<Record<string, string>>
}

export interface ServerParts extends OperatorParts {
  readonly clock: Pick<Clock, 'after'>
  readonly emit: (event: GateEvent) => void
  /** Runs first, for every request. */
  readonly guard: (request: IncomingMessage) => GuardVerdict
  /** Paths outside `/v1` that are forwarded, too. */
  readonly proxied: readonly string[]
  /** Takes over a request under `/v1`, its unread body included, and answers it whatever happens. */
  readonly proxy: (
    request: IncomingMessage,
    response: ServerResponse,
    handed: Handed,
  ) => void | Promise<void>
  /** Client connections at once. */
  readonly connectionsMax: () => number
  /** What takes the connections that become WebSockets; absent: none does. */
  readonly upgrades?: Upgrades
}

/** A request and the response to it, and the id of both. */
export interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
}
