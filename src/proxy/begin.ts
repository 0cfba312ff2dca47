import { endRuleOf } from '../core/health/facts.ts'
import { isUntold } from '../core/model/model-choice.ts'
import { sameModel } from '../core/model/listed-model.ts'
import { knownModels, knownText } from '../core/model/models.ts'
import { workOf } from '../api/route-name.ts'
import type { RouteDecision, RouteRequest } from '../core/route.ts'
import type { RoutingTable } from '../core/table.ts'
import { enginesWith, noRouteText } from '../engines/index.ts'
import type { AnswerWriter } from './answer/answer-writer.ts'
import { answerHeaders, attemptInput, flightItem } from './upstream/attempt-input.ts'
import { Attempt } from './upstream/attempt.ts'
import { type Asked, type ProxyDeps, report } from './deps.ts'
import { type EndCode, type Failed, mayFollow } from '../core/exchange/ending.ts'
import type { Waiting } from '../core/exchange/patience.ts'
import type { Flow } from './answer/client-flow.ts'
import type { Lease } from './leases.ts'
import type { Pool } from './upstream/pools.ts'
import { ClientSink } from './answer/sink.ts'

export type Forward = Extract<RouteDecision, { kind: 'forward' }>

/** The attempt that runs now, and what it holds. */
export interface Running {
  readonly attempt: Attempt
  readonly lease: Lease
  /** The model that was asked for, by the name that the upstream knows; null: it has none. */
  readonly means: string | null
}

export interface Beginning {
  readonly deps: ProxyDeps
  readonly asked: Asked
  readonly writer: AnswerWriter
  readonly onFirstContent: (atMs: number) => void
  readonly mayReplay: (seen: boolean) => boolean
}

/** Starts one attempt at the upstream that was decided on: lease, connection, sink. */
export function begin(next: Forward, pool: Pool, to: Beginning): Running {
  const { deps, asked, writer, onFirstContent } = to
  const { spec, epoch } = next.entry
  const cold = next.serves === 'on_demand' || isUntold(next.entry)
  const item = { ...flightItem(asked, deps.clock.nowMs()), cold }
  const lease = deps.leases.take(spec.name, epoch, item, workOf(asked.lane.route))
  const sink = new ClientSink({
    deps,
    lease,
    means: next.means,
    writer,
    onFirstContent,
    headFor: (head, length) => answerHeaders(head, { asked, spec, length }),
  })
  const attempt = new Attempt(
    attemptInput(deps, asked, {
      pool,
      model: next.model,
      mapped: isMapped(next, asked),
      pending: () => writer.pending,
      mayReplay: to.mayReplay,
      endRule: endRuleOf(spec, next.entry.facts),
      onEndSign: (by) => {
        report(deps, lease, { type: 'stream_end', at: deps.clock.nowMs(), by })
      },
    }),
    sink,
  )
  sink.attach(attempt)
  return { attempt, lease, means: next.means }
}

/** Did the gate choose the model, and not only write its name as the engine does? */
function isMapped({ model, entry }: Forward, { scan }: Asked): boolean {
  const wrote = scan.model?.value ?? ''
  return model !== null && !sameModel(entry.spec.engine, model, wrote)
}

/** Is the upstream of this lease gone, or another server by now? */
export function isReplaced({ store }: Pick<ProxyDeps, 'store'>, lease: Lease): boolean {
  const found = store.current.entries.find(({ spec }) => spec.name === lease.upstream)
  return found?.epoch !== lease.epoch
}

/** What routing needs to know of this request. */
export function routeRequest({ scan, lane, only }: Asked, tried: readonly string[]): RouteRequest {
  const model = scan.model?.value ?? null
  const engines = lane.route === null ? undefined : enginesWith(lane.route)
  return {
    model,
    exact: lane.api === null,
    tried,
    engines,
    only: only ?? undefined,
    work: workOf(lane.route),
  }
}

/** What a request is told whose model nobody has, or that names none where none could be meant: code,
 *  detail and the member that is at fault. Pure. */
export function noModel(
  table: RoutingTable,
  { kind, known }: Extract<RouteDecision, { kind: 'unknown_model' | 'model_required' }>,
): readonly [EndCode, string, string] {
  if (kind === 'unknown_model') return ['model_not_found', knownText(known), 'model']
  const settings = table.entries.flatMap(({ spec }) =>
    spec.intent === 'enabled' && spec.model === null
      ? [`GENGATE_${spec.name.toUpperCase()}_MODEL`]
      : [],
  )
  return [kind, `${knownText(known)} To choose one: ${settings.join(' or ')}.`, 'model']
}

/** What a request is told that `no_route` meets: code, detail and the member that is at fault. Pure. */
export function noRoute(
  table: RoutingTable,
  { lane, path, only }: Asked,
): readonly [EndCode, string, string | null] {
  if (only === null) return ['not_found', noRouteText(lane.route, path), null]
  const names = knownModels(table, ({ spec }) => spec.name === only)
  return ['response_model_mismatch', `${only} keeps it and serves ${names.join(', ')}.`, 'model']
}

/** May the request go on to the next upstream, and is there budget left for it? Spends it. */
export function follows(
  {
    last,
    next,
    sent,
  }: { readonly last: Failed | null; readonly next: RouteDecision; readonly sent: number },
  { lane }: Asked,
  { budget }: ProxyDeps,
): boolean {
  if (last === null) return true
  if (!lane.replay || !mayFollow(last, next, sent)) return false
  return !last.sent || next.kind !== 'forward' || budget.spend(last.answer !== null)
}

/** What patience has to know of the attempt that runs now. */
export function waitingOf(
  { attempt, lease }: Running,
  asked: Asked,
  { tried, flow }: { readonly tried: readonly string[]; readonly flow: Flow },
): Waiting {
  const judged = !flow.blocked && asked.lane.api !== null
  const stillMs = judged ? flow.stillMs : null
  const request = (): RouteRequest => routeRequest(asked, tried)
  const { replay } = asked.lane
  return { lease, committed: attempt.committed, replay, request, stillMs }
}
