import type { ModelFacts, OtherWork } from '../model/model-choice.ts'
import type { OwnedProcess, ProcessPhase } from '../owned/process.ts'
import type { EngineKind, UpstreamSpec } from '../upstream.ts'
import { type EndRule, type EndSign, type Flight, type FlightItem, NO_FLIGHT } from './evidence.ts'
import type { EvidenceReason } from './reason.ts'

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

/** A proven failure, and what the engine said of it to a probe. */
export interface StandingFailure {
  readonly reason: EvidenceReason
  readonly at: number
  readonly said?: string
}

/** A cold load that requests were seen to wait for: since when, and when last. Monotonic ms. */
export interface Load {
  readonly since: number
  readonly at: number
  /** When a request that waited for one got its first content; null: none has. */
  readonly endedAt: number | null
}

/**
 * What we remember of one upstream: evidence folded into the few facts that `judge` needs. All
 * times are monotonic ms; null means never.
 */
export interface Facts extends ModelFacts {
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

/** Last proof that it generates: a pass or progress; null when it never did. */
export function lastProofAt(facts: Pick<Facts, 'passAt' | 'progressAt'>): number | null {
  if (facts.passAt === null) return facts.progressAt
  return facts.progressAt === null ? facts.passAt : Math.max(facts.passAt, facts.progressAt)
}

/** Has a client used this very upstream within the last minute? */
export function isUsed({ used }: Facts, nowMs: number): boolean {
  return used !== null && nowMs - used.at < ACTIVE_FOR_MS
}

/** Since when a request is silent: its last content, else the last word on its prompt, else its
 *  sending. Pure. */
export function quietSince({ contentAt, workedAt, sentAt }: FlightItem): number {
  return contentAt ?? workedAt ?? sentAt
}

/** Does this request wait for its model to be loaded, as far as we know? */
export function awaitsLoad({ failure }: Pick<Facts, 'failure'>, item: FlightItem): boolean {
  return item.contentAt === null && (item.cold === true || failure?.reason === 'model_not_loaded')
}

/** Did what began at `since` wait while a model was loaded? Then it tells nothing of one in memory. */
export function isHeldUp({ load }: Pick<Facts, 'load'>, since: number): boolean {
  return load !== null && since <= load.at
}

/** The load that is under way, or was last, after a look at what is in flight. Pure. */
export function loadAfter(was: Facts, flight: Flight, at: number): Load | null {
  const endedAt = was.load?.endedAt ?? null
  // Those that were sent before it ended stand in the queue of a model that is loaded.
  const loads = (item: FlightItem): boolean =>
    awaitsLoad(was, item) && (endedAt === null || item.sentAt > endedAt)
  const oldest = flight.items.find(loads)
  if (oldest === undefined) return was.load
  // Requests that come one after the other must not make one frozen load look like many.
  const goes = was.load !== null && was.flight.items.some(loads)
  return { since: goes && was.load !== null ? was.load.since : oldest.sentAt, at, endedAt }
}

/** Loads that are remembered. Models of one upstream differ in size, so their longest counts. */
const LOADS_MAX = 4

/** Facts after the first content of a request that was sent at `sentAt` and waited for a load. Pure. */
export function afterLoad(was: Facts, sentAt: number, at: number): Facts {
  const coldLoadsMs = [...was.coldLoadsMs, at - sentAt].slice(-LOADS_MAX)
  // Something was loaded: whatever else is, begins now.
  const load = { since: at, at: was.load?.at ?? sentAt, endedAt: at }
  return { ...was, coldLoadsMs, load, loadFailedAt: null }
}

/** Does it embed, and has it not generated since? */
export function onlyEmbeds(facts: Pick<Facts, 'embedsAt' | 'passAt' | 'progressAt'>): boolean {
  return (
    facts.embedsAt !== null && facts.embedsAt > (lastProofAt(facts) ?? Number.NEGATIVE_INFINITY)
  )
}

/** Last proof of this kind of work: traffic, or a probe that embeds. */
export function lastDoneAt({ works, embedsAt }: Facts, work: OtherWork): number | null {
  const { doneAt } = works[work]
  if (work !== 'embedding' || embedsAt === null) return doneAt
  return doneAt === null ? embedsAt : Math.max(doneAt, embedsAt)
}

/** Is it known to do this work: has it done so, or does it list a model for it? */
export function isKnownFor({ facts, model }: KnownFor, work: OtherWork): boolean {
  if (lastDoneAt(facts, work) !== null) return true
  return facts.models?.some((one) => one.work === work && (model ?? one.id) === one.id) === true
}

interface KnownFor {
  readonly facts: Facts
  /** The model that the operator chose; null: none. */
  readonly model: string | null
}

/** Kinds of which nobody knows whether their streams carry a reason. All others do, and are held to it
 *  from their first stream: engines send `[DONE]` after a crash, too. */
const LEARNED: readonly EngineKind[] = ['openai', 'llamaswap']

/** The rule that holds for the streams of an upstream now. Pure. */
export function endRuleOf(
  { streamEnd, engine }: Pick<UpstreamSpec, 'streamEnd' | 'engine'>,
  facts: Pick<Facts, 'streamEnd'>,
): EndRule {
  if (streamEnd !== 'auto') return streamEnd
  return LEARNED.includes(engine) && facts.streamEnd !== 'finish_reason' ? 'learn' : 'finish_reason'
}

/** Phases in which nothing but a generation of this very process can make it eligible: what an
 *  older process is still heard of proves nothing. */
const UNPROVEN: ReadonlySet<ProcessPhase> = new Set(['asleep', 'waking', 'starting'])

export function isUnproven(process: OwnedProcess | null): boolean {
  return process !== null && UNPROVEN.has(process.phase)
}

/** Must a request that is to go there wait for a start first? */
export function needsStart(process: OwnedProcess | null): boolean {
  return process?.phase === 'asleep' || process?.phase === 'waking'
}
