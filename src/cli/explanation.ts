import type { Entry } from '../core/table.ts'
import { choiceText, coldNeverText } from '../core/explain.ts'
import type { Serves } from '../core/health/reason.ts'
import { choiceOf } from '../core/model/model-choice.ts'
import { isNameless, membersFor } from '../core/model/models.ts'
import { decide, type RouteDecision, servesFor } from '../core/route.ts'
import { type GateStatus, tableOf, type UpstreamStatus } from './gate-status.ts'

/** In which turn an upstream serves (docs/decisions/0014); `suspect` also holds the unproven that
 *  nobody probes. */
type Tier = 'eligible' | 'cold' | 'suspect'

/** What becomes of the next request: what the gate decides, unless it shuts down and takes nothing new. */
export type Decision = RouteDecision | { readonly kind: 'draining' }

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
  /** Upstreams that cannot serve this model. */
  readonly others: readonly { readonly upstream: UpstreamStatus; readonly why: string }[]
  /** The names that requests may use; empty if `model` is one of them. */
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
  const rows = new Map(status.upstreams.map((upstream) => [upstream.name, upstream]))
  const inFlight = (name: string): number => rows.get(name)?.in_flight ?? 0
  const routed = decide(table, { model, tried: [] }, inFlight, wallMs)
  const decision: Decision = status.draining ? { kind: 'draining' } : routed
  const members = (membersFor(table, model) ?? []).flatMap((member) => {
    const upstream = rows.get(member.entry.spec.name)
    return upstream === undefined ? [] : [{ ...member, upstream }]
  })
  // An upstream may stand in a group twice, with two models: the first is taken.
  const taken = members.find(
    ({ upstream }) => decision.kind === 'forward' && upstream.name === decision.entry.spec.name,
  )
  const order = members.map(({ upstream }) => upstream.name)
  const chosen = status.groups === null && isNameless(model)
  const candidates = members.map((member): Candidate => {
    const { entry, model: mappedTo, means, upstream } = member
    const tier = TIERS[servesFor(member)]
    const why = member === taken ? null : whyNot({ upstream, tier, order, means }, decision, status)
    const meaning = chosen ? choiceText(choiceOf(entry)) : null
    return { upstream, tier, mappedTo, means, meaning, why }
  })
  return {
    model,
    decision,
    candidates,
    others: table.entries.flatMap((entry) => {
      const upstream = rows.get(entry.spec.name)
      if (upstream === undefined || order.includes(upstream.name)) return []
      return [{ upstream, why: whyNoCandidate(entry, upstream, model, status) }]
    }),
    known: 'known' in routed ? routed.known : [],
  }
}

/** Would something serve it? Waiting for a slot is being served later. Pure. */
export function isServed({ decision }: Explanation): boolean {
  return decision.kind === 'forward' || decision.kind === 'wait_for_slot'
}

/** A candidate that was passed over, and the names of all, as they are looked at. */
interface Passed extends Pick<Candidate, 'upstream' | 'tier' | 'means'> {
  readonly order: readonly string[]
}

/** Why a candidate was passed over, as the end of a sentence. */
function whyNot(passed: Passed, decision: Decision, status: GateStatus): string {
  const { upstream, tier, means } = passed
  const { name, state, eligible, in_flight: load, max_concurrency: cap } = upstream
  if (decision.kind === 'draining') return 'the gate shuts down'
  if (tier === null && eligible && means !== null) return coldNeverText(name, means)
  if (tier === null) {
    if (state !== 'cold') return `it is ${state}`
    const loads = upstream.loads_nothing
    return loads ? 'it is cold, and it loads nothing for a request' : coldNeverText(name)
  }
  if (cap !== null && load >= cap) return `it is at its cap, with ${load} in flight`
  if (decision.kind !== 'forward') return 'an eligible one is worth the wait for a slot'
  const { name: other } = decision.entry.spec
  const first = TIERS[decision.serves]
  if (first !== tier) return `${other} is ${first}, which comes first`
  return whyAnEqual(passed, other, status)
}

/** Why `taken` and not this one, which serves in the same turn. */
function whyAnEqual(
  { upstream: { name, in_flight: load }, order }: Passed,
  taken: string,
  { policy, upstreams }: GateStatus,
): string {
  if (taken === name) return 'another model of it comes first'
  const before = order.indexOf(taken) < order.indexOf(name)
  const other = upstreams.find((upstream) => upstream.name === taken)?.in_flight ?? 0
  if (policy === 'least_busy' && other < load) {
    return `${taken} is less busy (${other} in flight, here ${load})`
  }
  if (policy === 'least_busy' && before && other === load) {
    return `${taken} is not busier and comes first`
  }
  if (policy === 'priority' && before) return `${taken} comes before it in the order of preference`
  // It would be its turn: only the slow start passes it over.
  return 'it has just come back, and gets few requests at first'
}

const TELLS_NOTHING: readonly string[] = ['ejected', 'misconfigured', 'starting', 'disabled']

/** Why an upstream cannot serve this model. */
function whyNoCandidate(
  { spec: { name, cold }, facts: { models, loaded } }: Entry,
  { state, reason }: UpstreamStatus,
  model: string | null,
  { groups }: GateStatus,
): string {
  if (groups !== null) return 'GENGATE_MODELS does not name it for this model'
  // Who cannot be reached, or refuses us, cannot tell its models either.
  if (models === null && TELLS_NOTHING.includes(state)) return `it is ${state}: ${reason}`
  if (models === null) return 'it has not told its models yet'
  if (models.length === 0) return 'it lists no model'
  if (!isNameless(model)) return 'it does not list the model'
  const setting = `GENGATE_${name.toUpperCase()}`
  const choose =
    cold === 'never' && loaded !== null
      ? `none that fits is in memory, and ${setting}_COLD is never`
      : `set ${setting}_MODEL to one that it lists`
  return `it has no model that such a request could mean: ${choose}`
}
