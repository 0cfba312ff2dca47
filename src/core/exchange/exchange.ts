import type { Ending, GateEvent } from '../event.ts'
import type { Evidence, FlightItem, LiveFailure } from '../health/evidence.ts'
import type { Work } from '../model/model-choice.ts'
import type { RouteRequest } from '../route.ts'
import type { Entry, RoutingTable } from '../table.ts'

/** A request that the door has let in, as every room behind it sees it. */
export interface Handed {
  readonly requestId: string
  /** Canonical: guards, routes and upstream share this one reading. */
  readonly path: string
  /** With its question mark, or ''. */
  readonly query: string
  /** Every CORS header for an allowed origin; empty otherwise. */
  readonly cors: Readonly<Record<string, string>>
  /** The `Via` that goes on to an upstream. */
  readonly via: string
}

/** What stays the same of a request from its beginning to its end. */
export interface Wish {
  readonly requestId: string
  readonly path: string
  readonly arrivedAt: number
  /** What routing needs to know, but for who has been asked. */
  readonly wants: Omit<RouteRequest, 'tried'> & { readonly work: Work | null }
  /** May it be sent to a second upstream? */
  readonly replay: boolean
  /** Does anybody judge what comes? */
  readonly judged: boolean
  readonly size: Pick<FlightItem, 'bytes' | 'streamed' | 'maxTokens'>
  /** For how long it may wait while nobody can serve, ms. */
  readonly holdMs: number
  /** When the head of an answer must go out, whether anybody has served or not; null: never. */
  readonly commitAt: number | null
}

/** What the client has of an answer. `pending`: a head of the gate's own, and comments. */
export type Head = 'open' | 'pending' | 'committed'

/** One request, between two events. */
export interface ExchangeState {
  readonly now:
    | { readonly kind: 'deciding' }
    /** `code`: the error if it lasts too long. */
    | { readonly kind: 'waiting'; readonly code: EndCode }
    | { readonly kind: 'trying'; readonly at: TriedAt }
    | { readonly kind: 'over' }
  readonly head: Head
  /** Upstreams that have had their turn. */
  readonly tried: readonly string[]
  /** The upstream that was asked last; null: none was. */
  readonly upstream: string | null
  /** Why the last attempt failed; null: none has. */
  readonly last: Failed | null
  /** Does the failover after it wait for the start of an engine, allowed and paid for? */
  readonly allowed: boolean
  /** Upstreams that may have seen the request. */
  readonly sent: number
  /** Failovers to give back to the budget once they have been of use. */
  readonly spent: number
  readonly attempts: number
  readonly held: boolean
  readonly ttftMs: number | null
}

/** The upstream that an attempt runs at. */
export interface TriedAt {
  readonly upstream: string
  readonly epoch: number
  /** The model that is asked for, by the name that the upstream knows; null: it has none. */
  readonly means: string | null
}

/** A request that has just come. */
export const ARRIVED: ExchangeState = {
  now: { kind: 'deciding' },
  head: 'open',
  tried: [],
  upstream: null,
  last: null,
  allowed: false,
  sent: 0,
  spent: 0,
  attempts: 0,
  held: false,
  ttftMs: null,
}

/** What has moved towards the client. */
export interface Flow {
  /** For how long nothing has been written, and nothing that waited has left, ms. */
  readonly stillMs: number
  /** Is it the client that takes no more? */
  readonly blocked: boolean
}

export type ExchangeEvent =
  /** The request is here, the table or what is in flight has changed: where does it go? */
  | { readonly type: 'decide' }
  /** A wait has lasted as long as it may. */
  | { readonly type: 'waited' }
  /** The connection of the attempt had died before it was used. `seen`: the upstream may have all of the
   *  request nevertheless. */
  | { readonly type: 'died'; readonly seen: boolean }
  | { readonly type: 'first_content' }
  /** The upstream's answer begins to reach the client. */
  | { readonly type: 'committed' }
  /** A look at what runs, every so often. */
  | { readonly type: 'look'; readonly item: FlightItem; readonly flow: Flow }
  | {
      readonly type: 'attempt_ended'
      readonly ending: AttemptEnding
      readonly item: FlightItem
      /** For how long nothing was read, since the client took nothing, ms. */
      readonly pausedMs: number
    }
  | { readonly type: 'commit_due' }
  | { readonly type: 'client_gone' }
  /** It has to end, for a reason outside of it. */
  | { readonly type: 'stop'; readonly code: EndCode; readonly detail: string }

export type ExchangeEffect =
  /** One attempt: take a lease and send. Always the last effect. */
  | {
      readonly type: 'send'
      readonly entry: Entry
      /** The name to write into the body; null: leave the body as it is. */
      readonly model: string | null
      readonly means: string | null
      /** Did the gate choose the model, and not only write its name as the engine does? */
      readonly mapped: boolean
      /** Must the model be loaded for it, as far as anybody knows? */
      readonly cold: boolean
    }
  /** Ends the attempt that runs; that comes back as an event. */
  | { readonly type: 'abandon'; readonly ending: AttemptEnding }
  /** Gives the lease of the attempt back. */
  | { readonly type: 'release' }
  /** Sends the same once more on a fresh connection. */
  | { readonly type: 'replay' }
  /** Waits for a change, and not beyond `untilMs`. */
  | { readonly type: 'wait'; readonly untilMs: number }
  /** Asks again at once where it goes: the effects before this one have changed the table. */
  | { readonly type: 'decide' }
  | {
      readonly type: 'evidence'
      readonly upstream: string
      readonly epoch: number
      readonly evidence: Evidence
    }
  /** What is left of the failover budget of the gate. */
  | { readonly type: 'budget'; readonly left: FailoverBudget }
  | { readonly type: 'emit'; readonly event: GateEvent }
  /** Sends the head of an event stream before anybody has served. */
  | { readonly type: 'commit_pending' }
  /** An error of the gate's own, whole. */
  | {
      readonly type: 'answer'
      readonly code: EndCode
      readonly detail: string
      /** The field of the request that is at fault. */
      readonly param: string | null
      readonly retryAfterMs: number
      readonly headers: Readonly<Record<string, string>>
    }
  /** The upstream's own answer: whole, or as a frame where a head has gone out. */
  | {
      readonly type: 'pass_on'
      readonly answer: HeldAnswer
      readonly upstream: string | null
      readonly headers: Readonly<Record<string, string>>
    }
  /** The proper end of an answer. */
  | { readonly type: 'end' }
  /** The end of an answer that has begun and cannot be completed. */
  | { readonly type: 'cut'; readonly code: EndCode; readonly detail: string }
  /** Tears the client's connection down without a word. */
  | { readonly type: 'hang_up' }
  /** The one ending. Always the last effect of all. */
  | { readonly type: 'over'; readonly summary: Summary }

/** How an exchange ended, as far as it knows itself. */
export interface Summary {
  readonly upstream: string | null
  readonly ending: Ending
  /** The code of the gate's own error, or null. */
  readonly code: EndCode | null
  readonly attempts: number
  readonly ttftMs: number | null
  readonly durationMs: number
  readonly phase: 'before_commit' | 'after_commit'
}

/** What one step may look at. */
export interface ExchangeContext {
  readonly wish: Wish
  readonly table: RoutingTable
  readonly nowMs: number
  /** Requests that an upstream has now. */
  readonly inFlight: (name: string) => number
  /** Requests that wait now. */
  readonly waiting: number
  readonly budget: FailoverBudget
  /** In [0, 1). */
  readonly random: () => number
}

export interface Step {
  readonly state: ExchangeState
  /** To be carried out in this order. */
  readonly effects: readonly ExchangeEffect[]
}

/** Codes of the gate's own errors that a request can end with once it has been taken over; the
 *  catalogue has their texts. */
export type EndCode =
  | 'gate_draining'
  | 'internal_error'
  | 'invalid_form'
  | 'invalid_model'
  | 'model_not_found'
  | 'model_required'
  | 'no_eligible_upstream'
  | 'not_found'
  | 'queue_full'
  | 'queue_timeout'
  | 'request_timeout'
  | 'response_model_mismatch'
  | 'too_many_connections'
  | 'upstream_error'
  | 'upstream_misconfigured'
  | 'upstream_protocol_error'
  | 'upstream_stalled'
  | 'upstream_starting'
  | 'upstream_truncated'
  | 'upstream_unreachable'

/** Header fields as they were received, by their names in small letters. */
export interface Fields {
  readonly [name: string]: string | string[] | undefined
  readonly 'content-type'?: string | undefined
  readonly 'content-encoding'?: string | undefined
  readonly 'set-cookie'?: string[] | undefined
}

/** Status and headers of the upstream's answer. */
export interface AnswerHead {
  readonly status: number
  readonly headers: Fields
}

/** A whole answer of the upstream that may still be passed on. */
export interface HeldAnswer extends AnswerHead {
  readonly body: Buffer
}

/** How one try at one upstream ended. Expected endings are values. */
export type AttemptEnding =
  | { readonly kind: 'finished' }
  /** The upstream's answer to a mistake of the client's: passed on, and neutral. `answer`: null where it
   *  has reached the client already, as it came. */
  | { readonly kind: 'passed'; readonly status: number; readonly answer: HeldAnswer | null }
  /** Before anything reached the client. `sent`: the upstream may have seen the request. */
  | {
      readonly kind: 'failed'
      readonly why:
        | LiveFailure
        | 'busy'
        | 'unauthorized'
        | 'model_not_found'
        | 'model_not_loaded'
        | 'ours'
      readonly code: EndCode
      readonly detail: string
      readonly sent: boolean
      /** The upstream's own error, to be passed on when nobody else can serve. */
      readonly answer: HeldAnswer | null
    }
  /** After content reached the client. */
  | { readonly kind: 'cut'; readonly code: EndCode; readonly detail: string }
  | { readonly kind: 'aborted' }

export type Failed = Extract<AttemptEnding, { kind: 'failed' }>

/** How many failovers may still be spent. Plain value. */
export interface FailoverBudget {
  readonly tokens: number
  /** When it was last settled, monotonic ms. */
  readonly at: number
}
