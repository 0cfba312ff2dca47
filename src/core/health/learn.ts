import { type OtherWork, provenBy } from '../model/model-choice.ts'
import {
  afterLoad,
  type Facts,
  isHeldUp,
  isUnproven,
  isUsed,
  loadAfter,
  type StandingFailure,
  type WorkFacts,
} from './facts.ts'
import type { OwnedProcess, ProcessPhase } from '../owned/process.ts'
import type { Evidence, ProbeOutcome } from './evidence.ts'
import type { EvidenceReason } from './reason.ts'

/** A gap is forgotten by half within some 140 reports of progress: one fault that ended would else
 *  excuse every later silence. */
const GAP_FADES = 0.995
const LATENCIES_MAX = 8
const TTFTS_MAX = 32

/** Facts after one piece of evidence. Pure. */
export function learn(was: Facts, evidence: Evidence): Facts {
  switch (evidence.type) {
    case 'probe_sent':
      return { ...was, sentAt: evidence.at, silentFrom: was.silentFrom ?? evidence.at }
    case 'probe_ended':
      return afterProbe(asked(was, evidence), evidence.outcome, was, evidence.at)
    case 'progress': {
      // An engine that tells what is in memory may hold up its streams while it loads another model.
      const heldUp = was.loaded !== null && isHeldUp(was, evidence.at - evidence.gapMs)
      const faded = was.longestGapMs * GAP_FADES
      return {
        ...moved(was, evidence.at),
        proven: provenBy(was, evidence),
        longestGapMs: heldUp ? faded : Math.max(faded, evidence.gapMs),
      }
    }
    case 'finished':
      return { ...afterAnswer(was, evidence), proven: provenBy(was, evidence) }
    case 'first_content':
      return afterFirstContent(was, evidence)
    case 'load_failed':
      return { ...was, loadFailedAt: evidence.at }
    case 'flight':
      return {
        ...was,
        flight: evidence.flight,
        load: loadAfter(was, evidence.flight, evidence.at),
        used: evidence.flight.inFlight > 0 ? usedUntil(was, evidence.at) : was.used,
      }
    case 'models':
      return { ...was, models: evidence.models }
    case 'loaded':
      return {
        ...was,
        loaded: evidence.names,
        loadedAt: evidence.at,
        loadsNothing: was.loadsNothing && (evidence.names ?? []).length === 0,
      }
    case 'process':
      return afterTurn(was, evidence.phase, evidence.at)
    case 'wanted':
      return { ...was, wantedAt: evidence.at }
    case 'work_done':
    case 'work_failed':
    case 'stream_end':
    case 'live_failure':
    case 'reached':
    case 'live_busy':
    case 'live_refused':
    case 'live_not_loaded':
    case 'live_misconfigured':
      return afterLive(was, evidence)
  }
}

/** What waited for a load teaches how long that takes; what waited while another was loaded, nothing. */
function afterFirstContent(
  was: Facts,
  { at, ttftMs: ms, bytes, cold = false }: Extract<Evidence, { type: 'first_content' }>,
): Facts {
  if (cold) return afterLoad(was, at - ms, at)
  if (!isHeldUp(was, at - ms))
    return { ...was, ttfts: [...was.ttfts, { bytes, ms }].slice(-TTFTS_MAX) }
  return was.load !== null && at - ms <= was.load.since ? afterLoad(was, at - ms, at) : was
}

function afterAnswer(
  was: Facts,
  { at, tookMs, streamed, cold = false }: Extract<Evidence, { type: 'finished' }>,
): Facts {
  // Who answers what was sent after a refusal listens again.
  const listens = was.failure?.reason === 'refused' && at - tookMs > was.failure.at
  const now = moved(listens ? { ...was, failure: null } : was, at)
  if (streamed) return now
  // Nobody sees when its first token came: all of it may have been the load.
  if (cold) return afterLoad(now, at - tookMs, at)
  if (isHeldUp(was, at - tookMs)) return now
  return { ...now, longestUnaryMs: Math.max(was.longestUnaryMs, tookMs) }
}

function asked(was: Facts, ended: Extract<Evidence, { type: 'probe_ended' }>): Facts {
  const proven = ended.outcome.kind === 'pass' ? provenBy(was, ended) : was.proven
  return { ...was, sentAt: null, endedAt: ended.at, proven }
}

function usedUntil(was: Facts, at: number): NonNullable<Facts['used']> {
  return { since: isUsed(was, at) ? (was.used?.since ?? at) : at, at }
}

/** Progress disproves every failure but a refused connection: running streams outlive a listener.
 *  And nothing that is still heard of an older process proves the new one. */
function moved(was: Facts, at: number): Facts {
  const stands = was.failure?.reason === 'refused' || isUnproven(was.process)
  return {
    ...was,
    progressAt: at,
    failuresInRow: 0,
    refusals: null,
    loadsNothing: false,
    // Nobody waits for a probe any more, so this was the answer.
    silentFrom: was.sentAt === null ? null : was.silentFrom,
    owed: stands ? was.owed : 0,
    failure: stands ? was.failure : null,
  }
}

function afterProbe(now: Facts, outcome: ProbeOutcome, was: Facts, at: number): Facts {
  const { process } = was
  if (process === null || !isUnproven(process)) return afterAnyProbe(now, outcome, was, at)
  const first = afterFirstProbe(now, outcome, { ...was, process })
  if (first !== null) return first
  const judged = afterAnyProbe(now, outcome, was, at)
  // It generated, or says that its model is on disk: the process is up.
  const up = outcome.kind === 'pass' || outcome.kind === 'embeds' || outcome.kind === 'cold'
  const phase = up ? ({ phase: 'running', at } as const) : process
  return { ...judged, process: { ...phase, heard: null } }
}

function afterAnyProbe(now: Facts, outcome: ProbeOutcome, was: Facts, at: number): Facts {
  const vetoed = was.progressAt !== null && was.sentAt !== null && was.progressAt > was.sentAt
  switch (outcome.kind) {
    case 'pass':
      return {
        ...afterGoodProbe(now, was, outcome.latencyMs),
        passAt: at,
        probeForm: outcome.form ?? null,
        loadFailedAt: null,
      }
    case 'embeds':
      return { ...afterGoodProbe(now, was, outcome.latencyMs), embedsAt: at, liveFailureAt: null }
    case 'fail':
      if (vetoed && outcome.reason !== 'refused') return { ...now, silentFrom: null }
      return { ...now, silentFrom: null, failure: failureOf(outcome, at) }
    case 'cold':
      if (outcome.loadsNothing === true) return { ...afterNothingLoaded(now, at), silentFrom: null }
      return { ...now, silentFrom: null, failure: { reason: 'model_not_loaded', at } }
    case 'busy':
      return { ...now, busyAt: at }
    case 'timeout':
      return now
    case 'inconclusive':
      return { ...now, silentFrom: null }
  }
}

function afterGoodProbe(now: Facts, was: Facts, latencyMs: number): Facts {
  const heldUp = was.sentAt !== null && isHeldUp(was, was.sentAt)
  return {
    ...now,
    silentFrom: null,
    failure: null,
    refusals: null,
    loadsNothing: false,
    owed: Math.max(0, was.owed - 1),
    latenciesMs: heldUp ? was.latenciesMs : [...was.latenciesMs, latencyMs].slice(-LATENCIES_MAX),
  }
}

function failureOf({ reason, said }: ProbeOutcome & { kind: 'fail' }, at: number): StandingFailure {
  return said === undefined ? { reason, at } : { reason, at, said }
}

type Live = Extract<
  Evidence,
  { readonly type: `live_${string}` | `work_${string}` | 'reached' | 'stream_end' }
>

/** Facts after what a live request other than a generation showed. Pure. */
function afterLive(was: Facts, evidence: Live): Facts {
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
function afterNothingLoaded(was: Facts, at: number): Facts {
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

/** The reason that a phase alone gives; absent: what evidence says stands. */
const REASON_OF: Partial<Record<ProcessPhase, EvidenceReason>> = {
  asleep: 'model_not_loaded',
  waking: 'loading',
  starting: 'loading',
  exited: 'refused',
}

/** Facts after the owner of the process said what it does now; null: it owns it no longer. Pure. */
function afterTurn(was: Facts, phase: ProcessPhase | null, at: number): Facts {
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
function afterFirstProbe(
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
