import type { Evidence } from './evidence.ts'
import type { Facts } from './facts.ts'
import { isUnproven } from './process.ts'
import type { EvidenceReason } from './reason.ts'

type Live = Extract<Evidence, { readonly type: `live_${string}` | 'reached' }>

/** Facts after what a live request met that is no answer. Pure. */
export function afterLive(was: Facts, evidence: Live): Facts {
  const { at } = evidence
  switch (evidence.type) {
    case 'live_failure':
      if (isUnproven(was.process)) return was
      return evidence.failure === 'refused'
        ? afterRefusal(was, 'refused', at)
        : { ...was, liveFailureAt: at }
    case 'reached':
      return was.failure?.reason === 'refused'
        ? { ...was, failure: null, liveFailureAt: null }
        : was
    case 'live_busy':
      return { ...was, busyAt: at }
    case 'live_refused':
      return { ...was, refusals: { count: (was.refusals?.count ?? 0) + 1, at } }
    case 'live_not_loaded':
      return afterNothingLoaded(was, at)
    case 'live_misconfigured':
      return afterRefusal(was, evidence.reason, at)
  }
}

/** Facts after an engine said that nothing is in memory, and loaded nothing for the request. Pure. */
export function afterNothingLoaded(was: Facts, at: number): Facts {
  const failuresInRow = was.failuresInRow + 1
  const failure = { reason: 'model_not_loaded', at } as const
  return { ...was, failure, failuresInRow, loadsNothing: true }
}

function afterRefusal(was: Facts, reason: EvidenceReason, at: number): Facts {
  const failuresInRow = was.failuresInRow + 1
  return { ...was, failure: { reason, at }, failuresInRow, liveFailureAt: at }
}
