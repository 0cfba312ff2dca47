import type { Evidence, LiveFailure } from '../health/evidence.ts'
import type { Work } from '../model/model-choice.ts'
import type { RouteDecision } from '../route.ts'
import { mayRefuseUs } from '../status.ts'

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

/** Upstreams that may see one request: one that fails twice is rather at fault itself. */
export const SENT_MAX = 2

/** What an ending teaches about the upstream; null: nothing. An answer proves its own kind of work,
 *  and a failure of it speaks against that kind alone, unless nobody could be reached. Pure. */
export function evidenceOf(
  ending: AttemptEnding,
  what: {
    readonly at: number
    readonly sentAt: number
    readonly streamed: boolean
    readonly work: Work | null
    /** Was it sent while its model was cold? Absent: no. */
    readonly cold?: boolean | undefined
    /** What was asked for, by the name that the upstream knows. */
    readonly model?: string | null
  },
): Evidence | null {
  const { at, work, sentAt, streamed, cold = false, model = null } = what
  switch (ending.kind) {
    case 'aborted':
      return null
    case 'passed':
      return mayRefuseUs(ending.status) ? { type: 'live_refused', at } : null
    case 'finished': {
      const tookMs = at - sentAt
      if (work === 'generation') return { type: 'finished', at, streamed, tookMs, cold, model }
      return work === null ? null : { type: 'work_done', at, work, tookMs }
    }
    case 'cut':
      return evidenceOfFailure('truncated', at, work)
    case 'failed':
      if (ending.code === 'upstream_stalled' && cold) return { type: 'load_failed', at }
      return evidenceOfFailure(ending.why, at, work)
  }
}

/** Failures that tell of the whole server, whatever was asked of it. */
const OF_ALL: readonly Failed['why'][] = [
  'refused',
  'unreachable',
  'unauthorized',
  'model_not_loaded',
]

function evidenceOfFailure(why: Failed['why'], at: number, work: Work | null): Evidence | null {
  if (why === 'ours') return null
  if (work !== 'generation' && !OF_ALL.includes(why)) {
    return work === null || why === 'busy' ? null : { type: 'work_failed', at, work }
  }
  if (why === 'busy') return { type: 'live_busy', at }
  if (why === 'unauthorized') return { type: 'live_refused', at }
  if (why === 'model_not_loaded') return { type: 'live_not_loaded', at }
  if (why === 'model_not_found') return { type: 'live_misconfigured', at, reason: why }
  return { type: 'live_failure', at, failure: why }
}

/**
 * May the next decision be followed after this failure? At most two upstreams see a request, and a
 * refusal for load moves on only to one that is eligible: else its own answer, with its
 * `Retry-After`, tells the client more than we could (docs/decisions/0020). Pure.
 */
export function mayFollow(last: Failed, next: RouteDecision, sent: number): boolean {
  if (next.kind === 'exhausted' || sent >= SENT_MAX) return false
  if (last.why === 'busy') return next.kind === 'forward' && next.serves === 'first'
  // Its own words are a better answer than a wait for nobody.
  if (last.why === 'model_not_loaded') return next.kind === 'forward'
  return true
}

/** Its upstream is not configured any more, or another server has its name now. */
export function removed(upstream: string): Failed {
  const detail = `${upstream} was taken out of the configuration.`
  const code = 'no_eligible_upstream'
  return { kind: 'failed', why: 'ours', code, detail, sent: true, answer: null }
}

/** It was silent for too long and another can have it. Our decision, so no evidence by itself. */
export function stalled(upstream: string, silentMs: number): Failed {
  const detail = `${upstream} was silent for ${Math.round(silentMs)} ms.`
  return { kind: 'failed', why: 'ours', code: 'upstream_stalled', detail, sent: true, answer: null }
}
