import type { Facts } from '../health/facts.ts'
import { type OwnedProcess, type ProcessPhase, isUnproven } from './process.ts'
import type { ProbeOutcome } from '../health/outcome.ts'
import type { EvidenceReason } from '../health/reason.ts'

/** The reason that a phase alone gives; absent: what evidence says stands. */
const REASON_OF: Partial<Record<ProcessPhase, EvidenceReason>> = {
  asleep: 'model_not_loaded',
  waking: 'loading',
  starting: 'loading',
  exited: 'refused',
}

/** Facts after the owner of the process said what it does now; null: it owns it no longer. Pure. */
export function afterTurn(was: Facts, phase: ProcessPhase | null, at: number): Facts {
  if (phase === null) {
    const failure = isUnproven(was.process) ? null : was.failure
    return { ...was, process: null, failure, wantedAt: null }
  }
  const now: Facts = { ...was, process: { phase, at, heard: null } }
  const reason = REASON_OF[phase]
  if (reason === undefined) return now
  return {
    ...now,
    failure: { reason, at },
    silentFrom: null,
    liveFailureAt: null,
    busyAt: null,
    // One generation of the new process is the proof: what the old one owed went with it.
    owed: phase === 'exited' ? was.owed : 0,
    // Who asked before has been served, or has been told that there is nothing to wait for.
    wantedAt: phase === 'exited' || phase === 'asleep' ? null : was.wantedAt,
  }
}

/**
 * Facts after a probe of a process that has yet to generate; null: it counts as any other. Until the
 * first generation a refused connection is part of starting, however long that takes. Pure.
 */
export function afterFirstProbe(
  now: Facts,
  outcome: ProbeOutcome,
  was: Facts & { readonly process: OwnedProcess },
): Facts | null {
  const { phase, at } = was.process
  const unheard = { ...now, silentFrom: null }
  if (phase === 'asleep') return unheard
  // It was sent to the process before this one.
  if (was.sentAt !== null && was.sentAt < at) return unheard
  if (outcome.kind !== 'fail') return null
  const { reason } = outcome
  if (reason !== 'refused' && reason !== 'unreachable' && reason !== 'loading') return null
  return { ...unheard, process: { ...was.process, heard: reason } }
}

/** Has this probe shown that the process is up: it generated, or says that its model is on disk? */
export function provesProcess(outcome: ProbeOutcome): boolean {
  return outcome.kind === 'pass' || outcome.kind === 'embeds' || outcome.kind === 'cold'
}
