import type { ListedModel, OtherWork } from '../model/model-choice.ts'
import type { ProcessPhase } from '../owned/process.ts'
import type { EvidenceReason } from './reason.ts'

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

/**
 * Every way a generation probe can end. A probe that is refused or answered with nonsense has
 * worked: it told us something. Values only, never exceptions.
 */
export type ProbeOutcome =
  /** It generated. `tokens` as the engine counts them (0 where it counts words). */
  | {
      readonly kind: 'pass'
      readonly latencyMs: number
      readonly tokens: number
      /** What the probe had to be like to be accepted; absent: the usual one. */
      readonly form?: string
    }
  /** It embeds: no proof of generation, which it refuses or is not meant for. */
  | { readonly kind: 'embeds'; readonly latencyMs: number }
  /** The limit passed without an answer; the connection was given up. */
  | { readonly kind: 'timeout'; readonly limitMs: number }
  /** Proof of the contrary; `reason` says what, `detail` the status or code. `said`: the engine's own
   *  sentence, one line without our key; it answers our own question, so nothing of a client is in it. */
  | {
      readonly kind: 'fail'
      readonly reason: FailReason
      readonly detail: string
      readonly said?: string
    }
  /** A refusal for load (429, busy 503): neither failure nor proof of life, since
   *  an engine whose queue is full answers so whether it works or hangs. */
  | { readonly kind: 'busy'; readonly detail: string }
  /** The engine says that its model is not in memory. `loadsNothing`: it said so when it was asked to
   *  generate, and loaded none for that. */
  | { readonly kind: 'cold'; readonly loadsNothing?: boolean }
  /** It says nothing about the upstream: aborted by us, EMFILE, DNS, own event loop stalled. */
  | { readonly kind: 'inconclusive'; readonly detail: string }

/** Failure reasons a probe can prove. */
export type FailReason = Extract<
  EvidenceReason,
  | 'loading'
  | 'sleeping'
  | 'refused'
  | 'unreachable'
  | 'http_5xx'
  | 'invalid_response'
  | 'truncated'
  | 'model_not_found'
  | 'unauthorized'
  | 'bad_request'
  | 'wrong_kind'
>

/**
 * What ends a stream of choices. `finish_reason`: a reason for every index that it showed. `done`:
 * `[DONE]` alone. `learn`: `[DONE]`, unless this very stream has carried a reason.
 */
export type EndRule = 'finish_reason' | 'done' | 'learn'

/** What a stream has shown of its upstream's habits. */
export type EndSign = Exclude<EndRule, 'learn'>

/** How a live request can fail at an upstream, for the table of statuses (docs/decisions/0020). */
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
  /** First content of an answer; teaches what silence is normal, and proves nothing
   *  (docs/decisions/0012). */
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
  /** A live 429 or 503: says that it is there and full, so patience with a probe that waits begins anew. */
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

/** The label of an outcome in metrics and logs: a closed set. */
export function outcomeLabel(outcome: ProbeOutcome): string {
  return outcome.kind === 'fail' ? outcome.reason : outcome.kind
}

/**
 * The word for an outcome in the operator's older world (`generation_probe_reason`):
 * `ok | timeout | http_<status> | parse_error | …`.
 */
export function legacyProbeReason(outcome: ProbeOutcome): string {
  switch (outcome.kind) {
    case 'pass':
      return 'ok'
    case 'embeds':
      return 'embeddings_only'
    case 'timeout':
      return 'timeout'
    case 'busy':
      return outcome.detail
    case 'cold':
      return 'model_not_loaded'
    case 'inconclusive':
      return 'unknown'
    case 'fail':
      if (outcome.detail.startsWith('http_')) return outcome.detail
      return outcome.reason === 'invalid_response' || outcome.reason === 'truncated'
        ? 'parse_error'
        : outcome.reason
  }
}
