import type { EndSign } from './stream-end.ts'
import { type Evidence, type Flight, NO_FLIGHT } from './evidence.ts'
import type { ListedModel, OtherWork } from '../model/listed-model.ts'
import { type Proven, provenBy } from '../model/model-choice.ts'
import { afterLoad, isHeldUp, type Load, loadAfter } from './loads.ts'
import type { ProbeOutcome } from './outcome.ts'
import { afterLive, afterNothingLoaded, failedAt, type StandingFailure } from './live-facts.ts'
import { afterFirstProbe, afterTurn, provesProcess } from '../owned/process-facts.ts'
import { isUnproven, type OwnedProcess } from '../owned/process.ts'

/** After this much time without a client request nobody counts as active (Envoy's
 *  `no_traffic_interval` is the same minute). */
export const ACTIVE_FOR_MS = 60_000

/** One observed time to first content and the size of the request it belongs to. */
export interface TtftSample {
  readonly bytes: number
  readonly ms: number
}

/** What its traffic has shown of one kind of work other than generation. Times are monotonic ms. */
export interface WorkFacts {
  readonly doneAt: number | null
  readonly failedAt: number | null
  readonly longestMs: number
}

const NO_WORK: WorkFacts = { doneAt: null, failedAt: null, longestMs: 0 }

/**
 * What we remember of one upstream: evidence folded into the few facts that `judge` needs. All
 * times are monotonic ms; null means never.
 */
export interface Facts {
  /** When the outstanding probe was sent. */
  readonly sentAt: number | null
  /** When the last probe ended, in whatever way. */
  readonly endedAt: number | null
  /** First probe of a series that nothing has answered yet. */
  readonly silentFrom: number | null
  readonly passAt: number | null
  /** When a probe was answered with an embedding, which proves no generation. */
  readonly embedsAt: number | null
  /** Tokens on a delivering stream, or a finished answer: proof of generation by traffic. */
  readonly progressAt: number | null
  /** Last refusal for load, by probe or live request. */
  readonly busyAt: number | null
  /** A proven failure; stands until something disproves it. */
  readonly failure: StandingFailure | null
  /** Live failures that ejected it, one after the other with no answer between. */
  readonly failuresInRow: number
  /** A live failure that no probe has looked at yet. */
  readonly liveFailureAt: number | null
  /** Live 401s and 403s since the last proof, and the last of them; null: none. */
  readonly refusals: { readonly count: number; readonly at: number } | null
  /** It said that nothing is in memory and loaded nothing for the request that asked: until it tells of
   *  something loaded, or generates, no request is sent there to load it. */
  readonly loadsNothing: boolean
  readonly flight: Flight
  /** Since when, and until when so far, clients have used this very upstream. */
  readonly used: { readonly since: number; readonly at: number } | null
  readonly works: Readonly<Record<OtherWork, WorkFacts>>
  /** What the last passing probe had to be like; null: as usual. */
  readonly probeForm: string | null
  /** What its streams have shown to end by; once a reason, always a reason. Null: none was seen. */
  readonly streamEnd: EndSign | null
  /** Latencies of the last passes, newest last. */
  readonly latenciesMs: readonly number[]
  readonly ttfts: readonly TtftSample[]
  readonly longestGapMs: number
  readonly longestUnaryMs: number
  /** What the last loads took, newest last: they bound loads, and nothing else. */
  readonly coldLoadsMs: readonly number[]
  /** The load that requests wait for now, or waited for last; null: none was seen. */
  readonly load: Load | null
  /** When a load was given up that has not worked since. */
  readonly loadFailedAt: number | null
  /** Models it lists; null: never answered. */
  readonly models: readonly ListedModel[] | null
  /** Names that it says are in memory; null: it does not tell, or never answered. */
  readonly loaded: readonly string[] | null
  /** When it said so last. */
  readonly loadedAt: number
  /** Models that were last seen to generate, and when; the newest last, ≤ 16. */
  readonly proven: readonly Proven[]
  /** Passes still owed before an ejected upstream is admitted. */
  readonly owed: number
  /** The engine's process, where the gate owns it. */
  readonly process: OwnedProcess | null
  /** Last request that waits for that process to be started. */
  readonly wantedAt: number | null
}

export const NO_FACTS: Facts = {
  sentAt: null,
  endedAt: null,
  silentFrom: null,
  passAt: null,
  embedsAt: null,
  progressAt: null,
  busyAt: null,
  failure: null,
  failuresInRow: 0,
  liveFailureAt: null,
  refusals: null,
  loadsNothing: false,
  flight: NO_FLIGHT,
  used: null,
  works: { embedding: NO_WORK, rerank: NO_WORK },
  probeForm: null,
  streamEnd: null,
  latenciesMs: [],
  ttfts: [],
  longestGapMs: 0,
  longestUnaryMs: 0,
  coldLoadsMs: [],
  load: null,
  loadFailedAt: null,
  models: null,
  loaded: null,
  loadedAt: 0,
  proven: [],
  owed: 0,
  process: null,
  wantedAt: null,
}

/** A gap is forgotten by half within some 140 reports of progress: one fault that ended would else
 *  excuse every later silence. */
const GAP_FADES = 0.995
const LATENCIES_MAX = 8
const TTFTS_MAX = 32

/** Last proof that it generates: a pass or progress; null when it never did. */
export function lastProofAt(facts: Pick<Facts, 'passAt' | 'progressAt'>): number | null {
  if (facts.passAt === null) return facts.progressAt
  return facts.progressAt === null ? facts.passAt : Math.max(facts.passAt, facts.progressAt)
}

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

/** Has a client used this very upstream within the last minute? */
export function isUsed({ used }: Facts, nowMs: number): boolean {
  return used !== null && nowMs - used.at < ACTIVE_FOR_MS
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
  const phase = provesProcess(outcome) ? ({ phase: 'running', at } as const) : process
  return { ...judged, process: { ...phase, heard: null } }
}

function withLatency({ latenciesMs }: Facts, ms: number): readonly number[] {
  return [...latenciesMs, ms].slice(-LATENCIES_MAX)
}

function afterAnyProbe(now: Facts, outcome: ProbeOutcome, was: Facts, at: number): Facts {
  const vetoed = was.progressAt !== null && was.sentAt !== null && was.progressAt > was.sentAt
  const heldUp = was.sentAt !== null && isHeldUp(was, was.sentAt)
  switch (outcome.kind) {
    case 'pass':
      return {
        ...now,
        passAt: at,
        probeForm: outcome.form ?? null,
        silentFrom: null,
        failure: null,
        refusals: null,
        loadsNothing: false,
        owed: Math.max(0, was.owed - 1),
        loadFailedAt: null,
        latenciesMs: heldUp ? was.latenciesMs : withLatency(was, outcome.latencyMs),
      }
    case 'embeds':
      return {
        ...now,
        embedsAt: at,
        silentFrom: null,
        failure: null,
        refusals: null,
        loadsNothing: false,
        liveFailureAt: null,
        owed: Math.max(0, was.owed - 1),
        latenciesMs: heldUp ? was.latenciesMs : withLatency(was, outcome.latencyMs),
      }
    case 'fail':
      if (vetoed && outcome.reason !== 'refused') return { ...now, silentFrom: null }
      return { ...now, silentFrom: null, failure: failedAt(outcome, at) }
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
