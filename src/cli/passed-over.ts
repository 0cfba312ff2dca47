import { isNameless } from '../core/model/models.ts'
import type { GateStatus, UpstreamStatus } from './gate-status.ts'

/** In which turn an upstream serves (docs/decisions/0014); `suspect` also holds the unproven that
 *  nobody probes. */
export type Tier = 'eligible' | 'cold' | 'suspect'

/** What becomes of the next request. */
export type Decision =
  | { readonly kind: 'forward'; readonly upstream: string; readonly tier: Tier }
  | { readonly kind: 'wait_for_slot' }
  /** `starting`: the first probes are still under way. */
  | { readonly kind: 'hold'; readonly starting: boolean }
  | { readonly kind: 'unknown_model' | 'model_required' }
  /** The gate shuts down and takes nothing new. */
  | { readonly kind: 'draining' }

/** A candidate that was passed over. */
export interface Passed {
  readonly upstream: UpstreamStatus
  /** Null: it does not serve now. */
  readonly tier: Tier | null
  /** The model that is asked for there; null: it has no name. */
  readonly means: string | null
  /** The names of all candidates, as they are looked at. */
  readonly order: readonly string[]
}

/** Why a candidate was passed over, as the end of a sentence. Pure. */
export function whyNot(
  { upstream, tier, order, means }: Passed,
  decision: Decision,
  status: GateStatus,
): string {
  const { name, state, eligible, inFlight, maxConcurrency } = upstream
  if (decision.kind === 'draining') return 'the gate shuts down'
  if (tier === null && eligible && means !== null) {
    return `${means} is not in memory, and GENGATE_${name.toUpperCase()}_COLD is never`
  }
  if (tier === null) {
    const why = upstream.loadsNothing
      ? ', and it loads nothing for a request'
      : `, and GENGATE_${name.toUpperCase()}_COLD is never`
    const never = state === 'cold' ? why : ''
    return `it is ${state}${never}`
  }
  if (maxConcurrency !== null && inFlight >= maxConcurrency) {
    return `it is at its cap, with ${inFlight} in flight`
  }
  if (decision.kind !== 'forward') return 'an eligible one is worth the wait for a slot'
  if (decision.tier !== tier) return `${decision.upstream} is ${decision.tier}, which comes first`
  return whyAnEqual({ upstream, order }, decision.upstream, status)
}

/** Why `taken` and not this one, which serves in the same turn. */
function whyAnEqual(
  { upstream: { name, inFlight }, order }: Pick<Passed, 'upstream' | 'order'>,
  taken: string,
  { policy, upstreams }: GateStatus,
): string {
  if (taken === name) return 'another model of it comes first'
  const before = order.indexOf(taken) < order.indexOf(name)
  const other = upstreams.find((upstream) => upstream.name === taken)?.inFlight ?? 0
  if (policy === 'least_busy' && other < inFlight) {
    return `${taken} is less busy (${other} in flight, here ${inFlight})`
  }
  if (policy === 'least_busy' && before && other === inFlight) {
    return `${taken} is no busier and comes first`
  }
  if (policy === 'priority' && before) return `${taken} comes before it in the order of preference`
  // It would be its turn: only the slow start passes it over.
  return 'it has just come back, and gets few requests at first'
}

const TELLS_NOTHING: readonly string[] = ['ejected', 'misconfigured', 'starting', 'disabled']

/** Why an upstream is no candidate for this model. Pure. */
export function whyNoCandidate(
  { name, models, modelsListed, reason, state, cold, loaded }: UpstreamStatus,
  model: string | null,
  { groups }: GateStatus,
): string {
  if (groups !== null) return 'GENGATE_MODELS does not name it for this model'
  // Who cannot be reached, or refuses us, cannot tell its models either.
  if (!modelsListed && TELLS_NOTHING.includes(state)) return `it is ${state}: ${reason}`
  if (!modelsListed) return 'it has not told its models yet'
  if (models.length === 0) return 'it lists no model'
  if (!isNameless(model)) return 'it does not list the model'
  const setting = `GENGATE_${name.toUpperCase()}`
  const choose =
    cold === 'never' && loaded !== null
      ? `none that fits is in memory, and ${setting}_COLD is never`
      : `set ${setting}_MODEL to one that it lists`
  return `it has no model that such a request could mean: ${choose}`
}
