import type { Evidence } from './evidence.ts'
import type { Facts, WorkFacts } from './facts.ts'
import type { OtherWork } from '../model/listed-model.ts'
import type { ProbeOutcome } from './outcome.ts'
import { isUnproven } from '../owned/process.ts'
import type { EvidenceReason } from './reason.ts'

/** A proven failure, and what the engine said of it to a probe. */
export interface StandingFailure {
  readonly reason: EvidenceReason
  readonly at: number
  readonly said?: string
}

/** The failure that a probe proves. Pure. */
export function failedAt(
  { reason, said }: Extract<ProbeOutcome, { kind: 'fail' }>,
  at: number,
): StandingFailure {
  return said === undefined ? { reason, at } : { reason, at, said }
}

type Live = Extract<
  Evidence,
  { readonly type: `live_${string}` | `work_${string}` | 'reached' | 'stream_end' }
>

/** Facts after what a live request showed that is no generation. Pure. */
export function afterLive(was: Facts, evidence: Live): Facts {
  const { at } = evidence
  switch (evidence.type) {
    case 'work_done': {
      const longestMs = Math.max(was.works[evidence.work].longestMs, evidence.tookMs)
      return withWork(was, evidence.work, { doneAt: at, failedAt: null, longestMs })
    }
    case 'work_failed':
      return withWork(was, evidence.work, { failedAt: at })
    case 'stream_end':
      return { ...was, streamEnd: was.streamEnd === 'finish_reason' ? was.streamEnd : evidence.by }
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

function withWork(was: Facts, work: OtherWork, now: Partial<WorkFacts>): Facts {
  return { ...was, works: { ...was.works, [work]: { ...was.works[work], ...now } } }
}
