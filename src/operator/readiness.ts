import { durationText, hintOf } from '../core/explain.ts'
import { decide, servesOf } from '../core/route.ts'
import { type Entry, type RoutingTable, shownReason } from '../core/table.ts'
import type { StatusContext } from './status.ts'

/** What a platform asks. */
export interface ReadinessQuery {
  /** `?model=`; null: any. */
  readonly model: string | null
  /** `?verbose`: for people. */
  readonly verbose: boolean
}

type Context = Pick<StatusContext, 'nowMs' | 'draining' | 'inFlight'>

/** Status and plain text. Machines rely on the status alone. */
export interface Readiness {
  readonly status: 200 | 404 | 503
  readonly body: string
}

/**
 * May traffic be sent here? 200 when something is servable and the gate is not draining, for one
 * model where one is named. Being at a cap is being ready: the request waits. A gate without an
 * eligible upstream is live, not ready: a restart would not help. Pure.
 */
export function readinessOf(
  table: RoutingTable,
  query: ReadinessQuery,
  context: Context,
): Readiness {
  const status = statusFor(table, query.model, context)
  const verdict = status === 200 ? 'ok' : status === 404 ? 'unknown model' : 'not ready'
  if (!query.verbose) return { status, body: `${verdict}\n` }
  const gate = context.draining ? '[-]gate draining: this gate is shutting down' : '[+]gate ok'
  const lines = [gate, ...table.entries.map((entry) => lineOf(entry, context.nowMs)), verdict]
  return { status, body: `${lines.join('\n')}\n` }
}

function statusFor(
  table: RoutingTable,
  model: string | null,
  { draining, inFlight }: Context,
): Readiness['status'] {
  if (draining) return 503
  if (model === null) return table.entries.some((e) => servesOf(e) !== 'no') ? 200 : 503
  return STATUSES[decide(table, { model, tried: [] }, inFlight).kind]
}

const STATUSES = {
  forward: 200,
  wait_for_slot: 200,
  unknown_model: 404,
  model_required: 404,
  no_route: 404,
  hold: 503,
  exhausted: 503,
} as const

/** One check in the words of kube-apiserver's `?verbose`. */
function lineOf(entry: Entry, nowMs: number): string {
  const { name } = entry.spec
  const reason = shownReason(entry)
  switch (servesOf(entry)) {
    case 'first':
      return `[+]${name} ok`
    case 'on_demand':
    case 'last':
      return `[+]${name} ${reason}: ${hintOf(entry, nowMs)}`
    case 'no':
      return `[-]${name} ${reason} for ${durationText(nowMs - entry.since)}: ${hintOf(entry, nowMs)}`
  }
}
