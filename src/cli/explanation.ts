import { choiceOf, choiceText } from '../core/model/model-choice.ts'
import { isNameless, membersFor } from '../core/model/models.ts'
import type { Serves } from '../core/health/reason.ts'
import { decide, type RouteDecision, servesFor } from '../core/route.ts'
import type { GateStatus, UpstreamStatus } from './gate-status.ts'
import { tableOf } from './gate-table.ts'
import { type Decision, type Tier, whyNoCandidate, whyNot } from './passed-over.ts'

/** An upstream that may serve the model, in the order in which they are looked at. */
export interface Candidate {
  readonly upstream: UpstreamStatus
  /** Null: it does not serve now. */
  readonly tier: Tier | null
  /** The name that is written into the request; null: it stays as the client wrote it. */
  readonly mappedTo: string | null
  /** The model that is asked for there, as far as it has a name. */
  readonly means: string | null
  /** Why a request that names none means that one; null: it names one. */
  readonly meaning: string | null
  /** Why it is not taken; null: it is. */
  readonly why: string | null
}

/** Why the next request goes where it goes. */
export interface Explanation {
  /** As asked; null: a request that names no model. */
  readonly model: string | null
  readonly decision: Decision
  readonly candidates: readonly Candidate[]
  /** Upstreams that are no candidates for this model. */
  readonly others: readonly { readonly upstream: UpstreamStatus; readonly why: string }[]
  /** The names that requests may use; empty unless `model` is none of them. */
  readonly known: readonly string[]
}

const TIERS: Readonly<Record<Serves, Tier | null>> = {
  first: 'eligible',
  on_demand: 'cold',
  last: 'suspect',
  no: null,
}

/**
 * The gate's own decision function over the table that its status shows, at `wallMs`. The load that
 * a request meets is that of the instant of the document. Pure.
 */
export function explanationOf(
  status: GateStatus,
  model: string | null,
  wallMs: number,
): Explanation {
  const table = tableOf(status)
  const find = (name: string): UpstreamStatus | undefined =>
    status.upstreams.find((upstream) => upstream.name === name)
  const inFlight = (name: string): number => find(name)?.inFlight ?? 0
  const routed = decide(table, { model, tried: [] }, inFlight, wallMs)
  const decision = decisionOf(routed, status)
  const members = (membersFor(table, model) ?? []).flatMap((member) => {
    const upstream = find(member.entry.spec.name)
    return upstream === undefined ? [] : [{ ...member, upstream }]
  })
  // An upstream may stand in a group twice, with two models: the first is taken.
  const taken = members.find(
    ({ upstream }) => decision.kind === 'forward' && upstream.name === decision.upstream,
  )
  const order = members.map(({ upstream }) => upstream.name)
  const candidates = members.map((member): Candidate => {
    const { model: mappedTo, means, upstream } = member
    const tier = TIERS[servesFor(member)]
    const why = member === taken ? null : whyNot({ upstream, tier, order, means }, decision, status)
    const chosen = status.groups === null && isNameless(model)
    const meaning = chosen ? choiceText(choiceOf(member.entry)) : null
    return { upstream, tier, mappedTo, means, meaning, why }
  })
  const asked = new Set(candidates.map(({ upstream }) => upstream))
  return {
    model,
    decision,
    candidates,
    others: status.upstreams
      .filter((upstream) => !asked.has(upstream))
      .map((upstream) => ({ upstream, why: whyNoCandidate(upstream, model, status) })),
    known: 'known' in routed ? routed.known : [],
  }
}

/** Would something serve it? Waiting for a slot is being served later. Pure. */
export function isServed({ decision }: Explanation): boolean {
  return decision.kind === 'forward' || decision.kind === 'wait_for_slot'
}

function decisionOf(routed: RouteDecision, { draining }: GateStatus): Decision {
  if (draining) return { kind: 'draining' }
  switch (routed.kind) {
    case 'forward':
      return {
        kind: 'forward',
        upstream: routed.entry.spec.name,
        tier: TIERS[routed.serves] ?? 'suspect',
      }
    case 'wait_for_slot':
    case 'unknown_model':
    case 'model_required':
      return { kind: routed.kind }
    case 'hold':
      return { kind: 'hold', starting: routed.starting }
    // Only where something was tried, or where a route was asked for.
    case 'exhausted':
    case 'no_route':
      return { kind: 'hold', starting: false }
  }
}
