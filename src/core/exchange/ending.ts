import type { Evidence } from '../health/evidence.ts'
import type { Work } from '../model/model-choice.ts'
import type { RouteDecision } from '../route.ts'
import type { Ending } from '../event.ts'
import { retryAfterMs } from '../explain.ts'
import type {
  AttemptEnding,
  EndCode,
  ExchangeContext,
  ExchangeEffect,
  ExchangeState,
  Failed,
  FailoverBudget,
  HeldAnswer,
  Step,
} from './exchange.ts'

/** Clients that are told to come back get up to this much of their own, so that they do not come in
 *  step, ms. */
const JITTER_MS = 500

const NOTHING: readonly ExchangeEffect[] = []

/** What is done before it ends, and the headers of the answer beyond its own. */
interface Extra {
  readonly effects?: readonly ExchangeEffect[]
  readonly headers?: Readonly<Record<string, string>>
}

/** The upstream's own answer, as a frame where a head has gone out already. */
export function passOn(
  state: ExchangeState,
  ctx: ExchangeContext,
  [answer, ending]: readonly [HeldAnswer, Ending],
  { effects = NOTHING, headers = {} }: Extra,
): Step {
  const { upstream } = state
  return end(state, ctx, [...effects, { type: 'pass_on', answer, upstream, headers }], ending)
}

/** It ends with an error of the gate's own. */
export function fail(
  state: ExchangeState,
  ctx: ExchangeContext,
  [code, detail, param = null]: readonly [EndCode, string, (string | null)?],
  { effects = NOTHING, headers = {} }: Extra = {},
): Step {
  const afterMs = retryAfterMs(ctx.table, ctx.nowMs) + JITTER_MS * ctx.random()
  const last: ExchangeEffect =
    state.head === 'open'
      ? { type: 'answer', code, detail, param, retryAfterMs: afterMs, headers }
      : { type: 'cut', code, detail }
  return end(state, ctx, [...effects, last, ...abandoned(state)], 'failed', code)
}

/** The client is gone, or is sent away. */
export function leave(
  state: ExchangeState,
  ctx: ExchangeContext,
  ending: 'client_gone' | 'client_stalled',
): Step {
  return end(state, ctx, [{ type: 'hang_up' }, ...abandoned(state)], ending)
}

/** Lets go of the attempt that runs, if one does. */
function abandoned({ now }: ExchangeState): readonly ExchangeEffect[] {
  if (now.kind !== 'trying') return NOTHING
  return [{ type: 'abandon', ending: { kind: 'aborted' } }, { type: 'release' }]
}

/** The one ending and the one event, after its last effects. */
export function end(
  state: ExchangeState,
  { wish, nowMs }: ExchangeContext,
  effects: readonly ExchangeEffect[],
  ending: Ending,
  code: EndCode | null = null,
): Step {
  const { upstream, attempts, ttftMs, head } = state
  const whole = effects.some(({ type }) => type === 'answer' || type === 'pass_on')
  const answered = head === 'committed' || (head === 'open' && whole)
  const phase = answered ? 'after_commit' : 'before_commit'
  const durationMs = nowMs - wish.arrivedAt
  const summary = { upstream, ending, code, attempts, ttftMs, durationMs, phase } as const
  return {
    state: { ...state, now: { kind: 'over' } },
    effects: [...effects, { type: 'over', summary }],
  }
}

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

/**
 * What an upstream's status does before anything has reached the client.
 * `judge`: look at the content. `pass`: the client's own answer, neutral. `misconfigured`: next
 * upstream, and a person has to mend this one. `busy`: next if one is eligible, else passed on
 * with its `Retry-After`. `suspect`: next upstream, and a probe at once.
 */
export type StatusAction = 'judge' | 'pass' | 'misconfigured' | 'busy' | 'suspect'

/** Statuses that differ from their class. */
const BY_STATUS: Readonly<Record<number, StatusAction>> = {
  408: 'busy',
  429: 'busy',
  501: 'pass',
  503: 'busy',
}

const BY_CLASS: Readonly<Record<number, StatusAction>> = {
  2: 'judge',
  3: 'pass',
  4: 'pass',
  5: 'suspect',
}

/** May this refusal be about the gate's own key? Or about what this client asked for: a probe tells. */
export function mayRefuseUs(status: number): boolean {
  return status === 401 || status === 403
}

/** What to do with an answer of this status. `mapped`: the gate wrote the model name, so a 404 is
 *  the gate's mistake and not the client's. A status that HTTP does not know is a fault. */
export function statusAction(status: number, request: { readonly mapped: boolean }): StatusAction {
  if (status === 404 && request.mapped) return 'misconfigured'
  return BY_STATUS[status] ?? BY_CLASS[Math.floor(status / 100)] ?? 'suspect'
}

/** A crash may lose this many requests at once and have all of them served by another upstream. */
export const BUDGET_MAX = 100
/** Kept for crashes: upstreams that answer, with a 503 or 500, may not use these up. So a storm in which
 *  all of them answer like that adds a few per cent from its first second on, and not 100 requests. */
export const CRASH_RESERVE = 70
/** What each answer that ended properly earns: a tenth, as Finagle's and Google's budgets do. */
const EARNED = 0.1
/** What comes back by time alone, per second. */
const PER_SECOND = 1

/** The budget of a gate that starts. */
export function fullBudget(atMs: number): FailoverBudget {
  return { tokens: BUDGET_MAX, at: atMs }
}

/** After an answer that ended properly. Pure. */
export function earn(budget: FailoverBudget, nowMs: number): FailoverBudget {
  return add(budget, EARNED, nowMs)
}

/** After failovers that another upstream served: they were not wasted, and cost nothing. Pure. */
export function giveBack(budget: FailoverBudget, spent: number, nowMs: number): FailoverBudget {
  return add(budget, spent, nowMs)
}

function add(budget: FailoverBudget, tokens: number, nowMs: number): FailoverBudget {
  const settled = settle(budget, nowMs)
  return { ...settled, tokens: Math.min(BUDGET_MAX, settled.tokens + tokens) }
}

/**
 * Spends one failover; null: there is none left. While every upstream fails, what is spent is not
 * earned again, so that clients' retries and ours cannot keep the failure alive. `answered`: the
 * upstream refused in words, it did not crash. Pure.
 */
export function spend(
  budget: FailoverBudget,
  nowMs: number,
  answered: boolean,
): FailoverBudget | null {
  const settled = settle(budget, nowMs)
  return settled.tokens < 1 + (answered ? CRASH_RESERVE : 0)
    ? null
    : { ...settled, tokens: settled.tokens - 1 }
}

function settle({ tokens, at }: FailoverBudget, nowMs: number): FailoverBudget {
  const refilled = tokens + ((nowMs - at) / 1_000) * PER_SECOND
  return { tokens: Math.min(BUDGET_MAX, refilled), at: nowMs }
}
