import type { EndSign } from './stream-end.ts'
import type { ListedModel, OtherWork } from '../model/listed-model.ts'
import type { FailReason, ProbeOutcome } from './outcome.ts'
import type { ProcessPhase } from '../owned/process.ts'

/** One request in flight, as the watch of the data plane sees it. Times are monotonic ms. */
export interface FlightItem {
  readonly sentAt: number
  /** Bytes of the request body: a cheap stand-in for the length of the prompt. */
  readonly bytes: number
  readonly streamed: boolean
  /** When content last came; null while it waits for its first. */
  readonly contentAt: number | null
  /** When its engine last told that it is further with the prompt; absent: never. No proof of
   *  generation, but no silence either. */
  readonly workedAt?: number
  /** Does it wait for its model to be loaded, as far as we know? Absent: no. */
  readonly cold?: boolean | undefined
  /** `max_tokens` of the request where it names one. */
  readonly maxTokens: number | null
}

/** Since when a request is silent: its last content, else the last word on its prompt, else its
 *  sending. Pure. */
export function quietSince({ contentAt, workedAt, sentAt }: FlightItem): number {
  return contentAt ?? workedAt ?? sentAt
}

/** What the data plane has in flight at one upstream. Only generations say how generation gets on. */
export interface Flight {
  /** Requests of every kind. */
  readonly inFlight: number
  /** Generations without content yet. */
  readonly waiting: number
  /** The generation sent last, or null when none is in flight. */
  readonly newest: FlightItem | null
  /** Every generation whose silence can excuse a silent probe: those in flight, oldest first, ≤ 16. */
  readonly items: readonly FlightItem[]
  /** The oldest request of each other kind of work that waits; absent: none does. */
  readonly others?: Readonly<Partial<Record<OtherWork, FlightItem>>>
}

export const NO_FLIGHT: Flight = { inFlight: 0, waiting: 0, newest: null, items: [] }

/** How a live request can fail at an upstream, for the status table of D18. */
export type LiveFailure =
  | 'refused'
  | 'unreachable'
  | 'reset'
  | 'http_5xx'
  | 'error_body'
  | 'invalid_response'
  | 'truncated'

/**
 * What probes and traffic tell us about one upstream. Everything carries its time (monotonic ms):
 * evidence expires.
 */
export type Evidence =
  | { readonly type: 'probe_sent'; readonly at: number }
  | {
      readonly type: 'probe_ended'
      readonly at: number
      readonly outcome: ProbeOutcome
      /** The name that was asked for; absent or null: none. */
      readonly model?: string | null
    }
  /** Tokens on a stream that was already delivering. The first token of a stream is not progress. */
  | {
      readonly type: 'progress'
      readonly at: number
      readonly gapMs: number
      /** Whose tokens, by the name that the upstream knows; absent or null: nobody knows. */
      readonly model?: string | null
    }
  /** First content of an answer; teaches what silence is normal, proves nothing (design D3). */
  | {
      readonly type: 'first_content'
      readonly at: number
      readonly ttftMs: number
      readonly bytes: number
      /** Was it sent while its model was cold? Absent: no. */
      readonly cold?: boolean | undefined
    }
  /** A generation ended properly. `tookMs` from sending to the end. */
  | {
      readonly type: 'finished'
      readonly at: number
      readonly streamed: boolean
      readonly tookMs: number
      readonly cold?: boolean | undefined
      readonly model?: string | null
    }
  /** A model that a request waited for was not loaded in time. */
  | { readonly type: 'load_failed'; readonly at: number }
  /** Other work was done: it proves that kind, and no generation. `tookMs` from sending to the end. */
  | {
      readonly type: 'work_done'
      readonly at: number
      readonly work: OtherWork
      readonly tookMs: number
    }
  /** Other work failed there, while its connections may be well. */
  | { readonly type: 'work_failed'; readonly at: number; readonly work: OtherWork }
  | { readonly type: 'flight'; readonly at: number; readonly flight: Flight }
  | { readonly type: 'live_failure'; readonly at: number; readonly failure: LiveFailure }
  /** Something listens at its address, as far as a bare connection tells. */
  | { readonly type: 'reached'; readonly at: number }
  /** A live 429 or 503: neutral. */
  | { readonly type: 'live_busy'; readonly at: number }
  /** A live 401 or 403: of our key, or of what this client asked for. Only a probe can tell. */
  | { readonly type: 'live_refused'; readonly at: number }
  /** A live answer says that no model is in memory, and it loaded none for the request. */
  | { readonly type: 'live_not_loaded'; readonly at: number }
  | {
      readonly type: 'live_misconfigured'
      readonly at: number
      readonly reason: Extract<FailReason, 'model_not_found'>
    }
  /** The models it lists; an empty list is a list. */
  | { readonly type: 'models'; readonly at: number; readonly models: readonly ListedModel[] }
  /** The names it says are in memory; null: it does not tell. */
  | { readonly type: 'loaded'; readonly at: number; readonly names: readonly string[] | null }
  /** What the gate does with the process of this engine; null: it does not own it. */
  | { readonly type: 'process'; readonly at: number; readonly phase: ProcessPhase | null }
  /** A stream has shown what ends the streams there. */
  | { readonly type: 'stream_end'; readonly at: number; readonly by: EndSign }
  /** A request waits for that process to be started. */
  | { readonly type: 'wanted'; readonly at: number }
