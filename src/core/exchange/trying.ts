import {
  earn,
  end,
  evidenceOf,
  fail,
  giveBack,
  leave,
  passOn,
  removed,
  SENT_MAX,
  stalled,
} from './ending.ts'
import type {
  AttemptEnding,
  ExchangeContext,
  ExchangeEffect,
  ExchangeEvent,
  ExchangeState,
  Step,
  TriedAt,
} from './exchange.ts'
import type { FlightItem } from '../health/evidence.ts'
import { lastProofAt, NO_FACTS, quietSince } from '../health/facts.ts'
import { isLoadOver, silenceBudgetMs } from '../health/policy.ts'
import type { EvidenceReason } from '../health/reason.ts'
import { mayAbandon, type RouteRequest } from '../route.ts'
import { contextOf, type RoutingTable } from '../table.ts'

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

/** A stream that says nothing for this long while its upstream goes on proving that it generates is
 *  dead, ms: its connection was lost on the way. Far beyond any pause of a stream that lives. */
const DEAD_MS = 600_000

/** Nothing generates there, or nobody listens any more. Streams can outlive their listener, so the
 *  silence of this very one decides: vLLM that was told to end may leave one open for ever. */
const GONE: readonly EvidenceReason[] = ['refused', 'unreachable', 'http_5xx']

/** A running attempt, as far as patience with it goes. */
export interface Waiting {
  readonly lease: {
    readonly upstream: string
    readonly epoch: number
    readonly item: FlightItem
  }
  /** Has content reached the client? */
  readonly committed: boolean
  /** May the request be sent to another upstream? */
  readonly replay: boolean
  /** Asked for only where it matters. */
  readonly request: () => RouteRequest
  /** For how long nothing has come that could go on to the client, ms; null: the client takes no
   *  more, or nobody judges what comes. */
  readonly stillMs: number | null
}

/**
 * How a running attempt is to end because its upstream is silent; null: not at all. Before content
 * it moves on when another can have it, when its upstream is proven wedged or gone, or when that is
 * not configured any more. After content two things end it: its upstream is proven wedged or gone
 * and this very stream is silent, too; or its upstream has proven that it generates long after the
 * last that came of this stream. Pure.
 */
export function patienceLost(
  table: RoutingTable,
  { lease, committed, replay, request, stillMs }: Waiting,
  nowMs: number,
): AttemptEnding | null {
  const { upstream, epoch } = lease
  const found = table.entries.find(({ spec }) => spec.name === upstream)
  const entry = found?.epoch === epoch ? found : null
  const wedged = entry?.reason === 'wedged' || entry?.reason === 'sleeping'
  const gone = entry !== null && GONE.includes(entry.reason)
  const proofAt = entry === null ? null : lastProofAt(entry.facts)
  const dead = stillMs !== null && proofAt !== null && proofAt - (nowMs - stillMs) >= DEAD_MS
  // Thousands of streams are looked at every 200 ms, and this is what comes of most looks.
  if (committed && !wedged && !gone && !dead) return null
  const { item } = lease
  const asked = request()
  const { work = 'generation' } = asked
  const silentMs = nowMs - quietSince(item)
  // Nobody watches over it there any more. What has begun to answer goes on, and what may be about to.
  if (entry === null) {
    const ctx = contextOf(table, nowMs)
    const sizedMs = silenceBudgetMs(NO_FACTS, item, ctx, work)
    const waits = silentMs <= Math.max(sizedMs, ctx.policy.detectWithinMs)
    return committed || !replay || waits ? null : removed(upstream)
  }
  // More than what was asked and what it has shown can explain; a client that takes nothing explains it, too.
  const stuck = wedged && work === 'generation'
  // An engine whose chat hangs may still embed, and loads the model for that first.
  const other = work !== null && work !== 'generation'
  const lost =
    (gone || (wedged && !stuck)) &&
    stillMs !== null &&
    silentMs > silenceBudgetMs(entry.facts, item, contextOf(table, nowMs), work)
  if (committed) {
    // While the client takes nothing nobody reads, so its upstream may have said more.
    const read = stillMs !== null
    const silent = read && (stuck || lost) && silentMs >= table.config.health.detectWithinMs
    if (!silent && !dead) return null
    const detail = `${upstream} has been silent for ${Math.round(silentMs)} ms.`
    return { kind: 'cut', code: 'upstream_stalled', detail }
  }
  const unloaded = isLoadOver(entry.facts, item, silentMs)
  const leaves =
    (wedged && !other) ||
    lost ||
    unloaded ||
    mayAbandon(table, upstream, { request: asked, item, nowMs })
  return leaves ? stalled(upstream, silentMs) : null
}

/** A stream is established, and its tokens count as progress, once it has delivered for this long
 *  or this often: an engine that gives each new stream a token or two and freezes must not look
 *  alive. */
const ESTABLISHED_MS = 500
const ESTABLISHED_EVENTS = 4

/** Progress is reported at most this often per upstream; the table needs no more. */
const REPORT_MS = 100

/** Do the tokens of a stream count as progress? `livedMs`: since its first; `events`: before this
 *  one. Pure. */
export function isEstablished(livedMs: number, events: number): boolean {
  return livedMs >= ESTABLISHED_MS || events >= ESTABLISHED_EVENTS
}

/** Is it time to report the progress of an upstream again? Pure. */
export function isReportDue(sinceLastMs: number): boolean {
  return sinceLastMs >= REPORT_MS
}
