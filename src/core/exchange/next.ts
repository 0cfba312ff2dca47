import { reasonsText } from '../explain.ts'
import { isUntold, sameModel } from '../model/model-choice.ts'
import { decide, type RouteDecision, type RouteRequest } from '../route.ts'
import { fail, leave, mayFollow, passOn, SENT_MAX, spend } from './ending.ts'
import type {
  EndCode,
  ExchangeContext,
  ExchangeEffect,
  ExchangeEvent,
  ExchangeState,
  Failed,
  Step,
  Wish,
} from './exchange.ts'
import { tried } from './trying.ts'
import type { Evidence } from '../health/evidence.ts'
import { needsStart } from '../health/facts.ts'
import type { Entry, RoutingTable } from '../table.ts'
import { knownModels, knownText } from '../model/models.ts'
import type { EngineKind } from '../upstream.ts'

const NOTHING: readonly ExchangeEffect[] = []

type Forward = Extract<RouteDecision, { kind: 'forward' }>

/**
 * One request and all that happens to it: where it goes, how long it waits, when it moves on and how
 * it ends. The step after one event: the state then, and what is to be done about it. Pure; after
 * `over` nothing happens any more.
 */
export function next(state: ExchangeState, event: ExchangeEvent, ctx: ExchangeContext): Step {
  const { now } = state
  if (now.kind === 'over') return unchanged(state)
  switch (event.type) {
    case 'client_gone':
      return leave(state, ctx, 'client_gone')
    case 'stop':
      return fail(state, ctx, [event.code, event.detail])
    case 'commit_due':
      // What has come already is about to go out by itself.
      if (state.head !== 'open' || state.ttftMs !== null) return unchanged(state)
      return { state: { ...state, head: 'pending' }, effects: [{ type: 'commit_pending' }] }
    case 'decide':
      return now.kind === 'trying' ? unchanged(state) : decided(state, ctx)
    case 'waited': {
      if (now.kind !== 'waiting') return unchanged(state)
      return fail(state, ctx, [now.code, reasonsText(ctx.table, ctx.nowMs, asked(state, ctx))])
    }
    case 'died':
    case 'first_content':
    case 'committed':
    case 'look':
    case 'attempt_ended':
      return now.kind === 'trying' ? tried(state, now.at, event, ctx) : unchanged(state)
  }
}

/** Where it goes now, if it may go anywhere. */
function decided(state: ExchangeState, ctx: ExchangeContext): Step {
  const { last } = state
  const to = decide(ctx.table, asked(state, ctx), ctx.inFlight, ctx.nowMs)
  const paid = last === null || state.allowed ? NOTHING : priceOf(state, last, to, ctx)
  if (paid === null) return giveUp(state, ctx)
  switch (to.kind) {
    case 'forward': {
      const start = startOf(to.entry, ctx.nowMs)
      if (start === null) return sent(state, to, paid, ctx)
      const { spec, epoch } = to.entry
      const wanted = start.map((evidence): ExchangeEffect => {
        return { type: 'evidence', upstream: spec.name, epoch, evidence }
      })
      return waited({ ...state, allowed: true }, { kind: 'start' }, [...paid, ...wanted], ctx)
    }
    case 'unknown_model':
    case 'model_required':
      return fail(state, ctx, noModel(ctx.table, to))
    case 'no_route':
      return fail(state, ctx, noRoute(ctx.table, ctx.wish))
    case 'exhausted':
      return giveUp(state, ctx)
    case 'hold':
    case 'wait_for_slot':
      return waited(state, to, paid, ctx)
  }
}

/** What it costs to go on after a failure; null: it may not, or nothing is left to pay with. */
function priceOf(
  state: ExchangeState,
  last: Failed,
  to: RouteDecision,
  { wish, budget, nowMs }: ExchangeContext,
): readonly ExchangeEffect[] | null {
  if (!wish.replay || !mayFollow(last, to, state.sent)) return null
  if (!last.sent || to.kind !== 'forward') return NOTHING
  const left = spend(budget, nowMs, last.answer !== null)
  return left === null ? null : [{ type: 'budget', left }]
}

function sent(
  state: ExchangeState,
  { entry, model, means, serves }: Forward,
  paid: readonly ExchangeEffect[],
  { wish }: ExchangeContext,
): Step {
  const { spec, epoch } = entry
  const { name } = spec
  const { last } = state
  const from = state.upstream ?? name
  const told: readonly ExchangeEffect[] =
    last === null ? NOTHING : [{ type: 'emit', event: { type: 'failover', from, why: last.why } }]
  const mapped = model !== null && !sameModel(spec.engine, model, wish.wants.model ?? '')
  const cold = serves === 'on_demand' || isUntold(entry)
  return {
    state: {
      ...state,
      now: { kind: 'trying', at: { upstream: name, epoch, means } },
      tried: [...state.tried, name],
      upstream: name,
      allowed: false,
      attempts: state.attempts + 1,
    },
    effects: [...paid, ...told, { type: 'send', entry, model, means, mapped, cold }],
  }
}

/** Nobody can have it now: it waits, unless it has for too long already, or too many do. */
function waited(
  state: ExchangeState,
  why: Blocked,
  before: readonly ExchangeEffect[],
  ctx: ExchangeContext,
): Step {
  const { wish, nowMs } = ctx
  const { requestId, arrivedAt, holdMs } = wish
  const { limitMs, code } = limitOf(why, holdMs)
  const effects: ExchangeEffect[] = [...before]
  if (!state.held) effects.push({ type: 'emit', event: { type: 'held', requestId } })
  const untilMs = arrivedAt + limitMs
  const waiting: ExchangeState = { ...state, now: { kind: 'waiting', code }, held: true }
  if (nowMs < untilMs && ctx.waiting < WAITING_MAX) {
    return { state: waiting, effects: [...effects, { type: 'wait', untilMs }] }
  }
  const late = nowMs >= untilMs
  const detail = reasonsText(ctx.table, nowMs, asked(state, ctx))
  return fail(waiting, ctx, [late ? code : 'queue_full', detail], { effects })
}

/** Nobody else can have it: the upstream's own answer where there is one, else our error. */
function giveUp(state: ExchangeState, ctx: ExchangeContext): Step {
  const { last } = state
  if (last === null) return fail(state, ctx, ['internal_error', ''])
  // Two have failed on it: an SDK would send it to both of them twice more.
  const hopeless = last.why !== 'busy' && state.sent >= SENT_MAX
  const headers: Record<string, string> = hopeless ? { 'x-should-retry': 'false' } : {}
  if (last.answer === null) return fail(state, ctx, [last.code, last.detail], { headers })
  return passOn(state, ctx, [last.answer, 'failed'], { headers })
}

function asked({ tried: turns }: ExchangeState, { wish }: ExchangeContext): RouteRequest {
  return { ...wish.wants, tried: turns }
}

function unchanged(state: ExchangeState): Step {
  return { state, effects: NOTHING }
}

/** While nothing has been judged yet, a request waits for the first verdict, at most so long. */
const STARTING_MS_MAX = 10_000
/** A request waits for a slot at most so long. */
const QUEUE_MS_MAX = 60_000
/** A request waits for the start of its engine at most so long: vLLM on two busy cores was seen to
 *  take more than 200 s. */
const START_MS_MAX = 300_000
/** Requests that wait for a slot or for an upstream at once. */
export const WAITING_MAX = 1_024

/** Why a request cannot go on. `start`: its engine is being started for it. */
export type Blocked =
  | Extract<RouteDecision, { kind: 'hold' | 'wait_for_slot' }>
  | { readonly kind: 'start' }

/** How long a request may wait, counted from its arrival, and the error after that. Pure. */
export function limitOf(why: Blocked, holdMs: number): { limitMs: number; code: EndCode } {
  if (why.kind === 'wait_for_slot') return { limitMs: QUEUE_MS_MAX, code: 'queue_timeout' }
  if (why.kind === 'start') return { limitMs: START_MS_MAX, code: 'upstream_starting' }
  if (why.starting) return { limitMs: Math.max(holdMs, STARTING_MS_MAX), code: 'upstream_starting' }
  return { limitMs: holdMs, code: 'no_eligible_upstream' }
}

/** What the table is told for an engine that sleeps and is needed, so that its owner starts it; null:
 *  it needs no start. Pure. */
export function startOf({ facts }: Entry, nowMs: number): readonly Evidence[] | null {
  if (!needsStart(facts.process)) return null
  return facts.wantedAt === null ? [{ type: 'wanted', at: nowMs }] : []
}

/** Why nobody can have a request: code, detail and the field that is at fault. */
export type Refusal = readonly [EndCode, string, string | null]

/** What a request is told whose model nobody has, or that names none where none could be meant. Pure. */
function noModel(
  table: RoutingTable,
  { kind, known }: Extract<RouteDecision, { kind: 'unknown_model' | 'model_required' }>,
): Refusal {
  if (kind === 'unknown_model') return ['model_not_found', knownText(known), 'model']
  const settings = table.entries.flatMap(({ spec }) =>
    spec.intent === 'enabled' && spec.model === null
      ? [`GENGATE_${spec.name.toUpperCase()}_MODEL`]
      : [],
  )
  return [kind, `${knownText(known)} To choose one: ${settings.join(' or ')}.`, 'model']
}

/** What a request is told that `no_route` meets. Pure. */
function noRoute(table: RoutingTable, { wants, path }: Wish): Refusal {
  const { only } = wants
  if (only === undefined) return ['not_found', noRouteText(wants.able, path), null]
  const names = knownModels(table, ({ spec }) => spec.name === only)
  return ['response_model_mismatch', `${only} keeps it and serves ${names.join(', ')}.`, 'model']
}

/** What a client is told of a route that no configured upstream has. Pure. */
export function noRouteText(able: ReadonlySet<EngineKind> | undefined, path: string): string {
  return `No upstream that is configured has ${path}; engines that have it: ${[...(able ?? [])].join(', ')}.`
}
