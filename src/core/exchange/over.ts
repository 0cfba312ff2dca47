import type { Ending } from '../event.ts'
import { retryAfterMs } from '../explain.ts'
import type { EndCode, HeldAnswer } from './ending.ts'
import type { ExchangeContext, ExchangeEffect, ExchangeState, Step } from './exchange.ts'

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
