import { earn, giveBack } from './budget.ts'
import { evidenceOf, SENT_MAX } from './ending.ts'
import type {
  ExchangeContext,
  ExchangeEffect,
  ExchangeEvent,
  ExchangeState,
  Step,
  TriedAt,
} from './exchange.ts'
import { end, fail, leave, passOn } from './over.ts'
import { patienceLost } from './patience.ts'

/** A client that takes nothing for this long while bytes wait for it is cut off, ms. Generous: the
 *  system tells of room in lumps of a megabyte, and who reads 4 kB a second is still alive. */
export const STALLED_MS = 300_000

const NOTHING: readonly ExchangeEffect[] = []
const DECIDING = { kind: 'deciding' } as const

/** What an attempt tells while it runs, and its end. */
export type AttemptEvent = Event<'died' | 'first_content' | 'committed' | 'look' | 'attempt_ended'>
type Event<T extends ExchangeEvent['type']> = Extract<ExchangeEvent, { type: T }>

/** The step after an event of the attempt at `at`. Pure. */
export function tried(
  state: ExchangeState,
  at: TriedAt,
  event: AttemptEvent,
  ctx: ExchangeContext,
): Step {
  switch (event.type) {
    case 'committed':
      return { state: { ...state, head: 'committed' }, effects: NOTHING }
    case 'first_content': {
      const { upstream } = at
      const ttftMs = ctx.nowMs - ctx.wish.arrivedAt
      return {
        state: { ...state, ttftMs, spent: 0 },
        effects: [
          ...served(state, ctx),
          { type: 'emit', event: { type: 'first_content', upstream, ttftMs } },
        ],
      }
    }
    case 'died': {
      // An attempt of its own, and one of two runs if the first may be one.
      if (event.seen && state.sent + 1 >= SENT_MAX) return unchanged(state)
      const sent = state.sent + (event.seen ? 1 : 0)
      return {
        state: { ...state, sent, attempts: state.attempts + 1 },
        effects: [
          { type: 'replay' },
          { type: 'emit', event: { type: 'replayed', upstream: at.upstream } },
        ],
      }
    }
    case 'look':
      return looked(state, at, event, ctx)
    case 'attempt_ended':
      return attemptEnded(state, at, event, ctx)
  }
}

/** Leaves an upstream that is silent for too long, and a client that takes nothing. */
function looked(
  state: ExchangeState,
  at: TriedAt,
  { item, flow }: Event<'look'>,
  ctx: ExchangeContext,
): Step {
  if (flow.blocked && flow.stillMs >= STALLED_MS) return leave(state, ctx, 'client_stalled')
  const { judged, replay } = ctx.wish
  const waiting = {
    lease: { upstream: at.upstream, epoch: at.epoch, item },
    committed: state.head === 'committed',
    replay,
    request: () => ({ ...ctx.wish.wants, tried: state.tried }),
    stillMs: judged && !flow.blocked ? flow.stillMs : null,
  }
  const ending = patienceLost(ctx.table, waiting, ctx.nowMs)
  return ending === null ? unchanged(state) : { state, effects: [{ type: 'abandon', ending }] }
}

function attemptEnded(
  state: ExchangeState,
  at: TriedAt,
  event: Event<'attempt_ended'>,
  ctx: ExchangeContext,
): Step {
  const { ending } = event
  const idle = { ...state, now: DECIDING }
  const taught: ExchangeEffect[] = [{ type: 'release' }, ...lesson(at, event, ctx)]
  switch (ending.kind) {
    case 'aborted':
      // Only who ends the exchange aborts; whatever it was, the client gets an answer.
      return fail(idle, ctx, ['internal_error', ''], { effects: taught })
    case 'finished': {
      const left = earn(giveBack(ctx.budget, state.spent, ctx.nowMs), ctx.nowMs)
      return end(state, ctx, [...taught, { type: 'budget', left }, { type: 'end' }], 'finished')
    }
    case 'passed':
      if (ending.answer === null) return end(state, ctx, [...taught, { type: 'end' }], 'finished')
      return passOn(state, ctx, [ending.answer, 'finished'], { effects: taught })
    case 'cut': {
      const { code, detail } = ending
      return end(state, ctx, [...taught, { type: 'cut', code, detail }], 'cut', code)
    }
    case 'failed': {
      // What the client has begun to get cannot come from another.
      if (state.head === 'committed')
        return fail(idle, ctx, [ending.code, ending.detail], { effects: taught })
      const sent = state.sent + (ending.sent ? 1 : 0)
      // Nothing was sent and the table knows: it may be asked again when it is back. And one that was
      // taken out has not had its turn: others may be about to take its place.
      const mayHaveAgain = ending.why === 'refused' || isReplaced(at, ctx)
      const turns = mayHaveAgain ? state.tried.slice(0, -1) : state.tried
      return {
        state: { ...idle, tried: turns, last: ending, sent, spent: sent },
        effects: [...taught, { type: 'decide' }],
      }
    }
  }
}

/** What the end of an attempt teaches about its upstream. */
function lesson(
  { upstream, epoch, means }: TriedAt,
  { ending, item, pausedMs }: Event<'attempt_ended'>,
  { nowMs, wish }: ExchangeContext,
): readonly ExchangeEffect[] {
  // A client that read slowly must not teach how long answers take.
  const sentAt = item.sentAt + pausedMs
  const { streamed, cold } = item
  const { work } = wish.wants
  const evidence = evidenceOf(ending, { at: nowMs, sentAt, streamed, cold, work, model: means })
  return evidence === null ? NOTHING : [{ type: 'evidence', upstream, epoch, evidence }]
}

/** Is the upstream gone, or another server by now? */
function isReplaced({ upstream, epoch }: TriedAt, { table }: ExchangeContext): boolean {
  return table.entries.find(({ spec }) => spec.name === upstream)?.epoch !== epoch
}

/** The failovers before were not wasted. */
function served({ spent }: ExchangeState, { budget, nowMs }: ExchangeContext): ExchangeEffect[] {
  return spent === 0 ? [] : [{ type: 'budget', left: giveBack(budget, spent, nowMs) }]
}

function unchanged(state: ExchangeState): Step {
  return { state, effects: NOTHING }
}
