import type { Ending } from '../event.ts'
import { retryAfterMs } from '../explain.ts'
import type { EndCode, HeldAnswer } from './ending.ts'
import type { ExchangeContext, ExchangeEffect, ExchangeState, Step } from './exchange.ts'

/** Clients that are told to come back get up to this much of their own, so that they do not come in
 *  step, ms. */
const JITTER_MS = 500

const NOTHING: readonly ExchangeEffect[] = []

/** The upstream's own answer, as a frame where a head has gone out already. */
export function passOn(
  state: ExchangeState,
  ctx: ExchangeContext,
  answer: HeldAnswer,
  {
    effects = NOTHING,
    headers = {},
    ending = 'finished',
  }: {
    readonly effects?: readonly ExchangeEffect[]
    readonly headers?: Readonly<Record<string, string>>
    readonly ending?: Ending
  },
): Step {
  const { upstream } = state
  const pass: ExchangeEffect = { type: 'pass_on', answer, upstream, headers }
  return end(state, ctx, { effects: [...effects, pass], ending, answered: state.head === 'open' })
}

/** It ends with an error of the gate's own. */
export function fail(
  state: ExchangeState,
  ctx: ExchangeContext,
  [code, detail, param = null]: readonly [EndCode, string, (string | null)?],
  {
    effects = NOTHING,
    headers = {},
  }: {
    readonly effects?: readonly ExchangeEffect[]
    readonly headers?: Readonly<Record<string, string>>
  } = {},
): Step {
  const answered = state.head === 'open'
  const afterMs = retryAfterMs(ctx.table, ctx.nowMs) + JITTER_MS * ctx.random()
  const last: ExchangeEffect = answered
    ? { type: 'answer', code, detail, param, retryAfterMs: afterMs, headers }
    : { type: 'cut', code, detail }
  return end(state, ctx, {
    effects: [...effects, last, ...abandoned(state)],
    ending: 'failed',
    code,
    answered,
  })
}

/** The client is gone, or is sent away. */
export function leave(
  state: ExchangeState,
  ctx: ExchangeContext,
  ending: 'client_gone' | 'client_stalled',
): Step {
  return end(state, ctx, { effects: [{ type: 'hang_up' }, ...abandoned(state)], ending })
}

/** Lets go of the attempt that runs, if one does. */
function abandoned({ now }: ExchangeState): readonly ExchangeEffect[] {
  if (now.kind !== 'trying') return NOTHING
  return [{ type: 'abandon', ending: { kind: 'aborted' } }, { type: 'release' }]
}

/** The one ending and the one event. */
export function end(
  state: ExchangeState,
  { wish, nowMs }: ExchangeContext,
  {
    effects,
    ending,
    code = null,
    answered = false,
  }: {
    readonly effects: readonly ExchangeEffect[]
    readonly ending: Ending
    readonly code?: EndCode | null
    /** Does the client get a whole answer with these effects? */
    readonly answered?: boolean
  },
): Step {
  const { upstream, attempts, ttftMs, head } = state
  const phase = answered || head === 'committed' ? 'after_commit' : 'before_commit'
  const durationMs = nowMs - wish.arrivedAt
  const summary = { upstream, ending, code, attempts, ttftMs, durationMs, phase } as const
  return {
    state: { ...state, now: { kind: 'over' } },
    effects: [...effects, { type: 'over', summary }],
  }
}
