import type { EndCause, ProcessStep } from './owned/process.ts'
import type { Reason } from './health/reason.ts'

/** How an exchange ended. A closed set: it is a metric label and a log field. */
export type Ending =
  /** The upstream's answer, whole. */
  | 'finished'
  /** An error of the gate's own, or the upstream's error passed on. */
  | 'failed'
  /** Cut after content had reached the client. */
  | 'cut'
  /** The client left. */
  | 'client_gone'
  /** The client took nothing for minutes, and was cut off. */
  | 'client_stalled'

/** Why the gate doubts what it saw: its own event loop did not run; the machine slept; it cannot ask,
 *  for want of descriptors or a resolver. A closed set: it is a metric label. */
export const DOUBT_CAUSES = ['stalled', 'slept', 'cannot_ask'] as const
export type DoubtCause = (typeof DOUBT_CAUSES)[number]

/**
 * Everything worth counting or logging, emitted after it happened, once. Observers switch over it
 * exhaustively. No prompt, no key, no body ever stands in an event.
 */
export type GateEvent =
  | {
      readonly type: 'state_changed'
      readonly upstream: string
      readonly from: Reason
      readonly to: Reason
      /** Was it eligible, and is it now? */
      readonly eligible: boolean
      readonly generation: number
      /** The facts behind it, in a few words. */
      readonly evidence: string
    }
  | {
      readonly type: 'probe_ended'
      readonly upstream: string
      readonly outcome: string
      readonly durationMs: number
      readonly tokens: number
    }
  /** The gate doubts itself: what it did not see meanwhile is held against nobody
   *  (docs/decisions/0013). */
  | {
      readonly type: 'doubted'
      readonly why: DoubtCause
      /** For how long it did not look; 0 where that is not known. */
      readonly lostMs: number
    }
  /** A request that names no model would load this one there, from now on. */
  | {
      readonly type: 'model_meant'
      readonly upstream: string
      readonly model: string
      /** The same as a sentence. */
      readonly sentence: string
    }
  /** The upstream that the next default request would go to is another one. */
  | { readonly type: 'route_changed'; readonly from: string | null; readonly to: string | null }
  | { readonly type: 'failover'; readonly from: string; readonly why: string }
  /** A used connection had died, so the request was sent again on a fresh one. */
  | { readonly type: 'replayed'; readonly upstream: string }
  | { readonly type: 'held'; readonly requestId: string }
  /** A form went on before the model that it names was seen: it is too large to be held. */
  | { readonly type: 'model_unseen'; readonly requestId: string; readonly path: string }
  | { readonly type: 'first_content'; readonly upstream: string; readonly ttftMs: number }
  | { readonly type: 'gap'; readonly upstream: string; readonly gapMs: number }
  | {
      readonly type: 'exchange_ended'
      readonly requestId: string
      readonly method: string
      readonly path: string
      /** The upstream that answered, or null. */
      readonly upstream: string | null
      readonly status: number
      readonly ending: Ending
      /** The code of the gate's own error, or null. */
      readonly code: string | null
      readonly attempts: number
      readonly ttftMs: number | null
      readonly durationMs: number
      readonly bytes: number
      /** Did the client leave before or after the first byte of the answer? Comments do not count. */
      readonly phase: 'before_commit' | 'after_commit'
    }
  /** The gate refused a request itself, before any upstream was asked. */
  | {
      readonly type: 'refused'
      readonly requestId: string
      readonly path: string
      readonly status: number
      readonly code: string
    }
  /** Something of ours failed that cannot fail. */
  | { readonly type: 'bug'; readonly where: string; readonly message: string }
  | {
      readonly type: 'config_reloaded'
      readonly ok: boolean
      /** What is wrong or what needs a restart, one line each. */
      readonly notes: readonly string[]
    }
  | { readonly type: 'embedded'; readonly message: string }
  /** A step in the life of an engine that the gate owns. */
  | {
      readonly type: 'engine_process'
      readonly upstream: string
      readonly step: ProcessStep
      /** Of an end; of a start: what the one before ended by, if this one is a restart. */
      readonly cause: EndCause | null
      /** For the operator: may hold the last line that the engine wrote, never its command line. */
      readonly text: string
    }
