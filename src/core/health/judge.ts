import { isUntold, type OtherWork } from '../model/model-choice.ts'
import type { UpstreamSpec } from '../upstream.ts'
import type { FlightItem } from './evidence.ts'
import {
  awaitsLoad,
  type Facts,
  isHeldUp,
  isUsed,
  lastDoneAt,
  lastProofAt,
  onlyEmbeds,
  quietSince,
} from './facts.ts'
import {
  backoffMs,
  ejectAfterMs,
  gapBudgetMs,
  type HealthPolicy,
  loadExcusesUntil,
  overdueLoad,
  type Patience,
  probeDeadlineMs,
  silenceBudgetMs,
  STALE_INTERVALS,
  unaryExcuseMs,
  waitBudgetMs,
  workBudgetMs,
} from './policy.ts'
import { type EvidenceReason, REASONS } from './reason.ts'

/** Everything outside one upstream that a verdict depends on. */
export interface JudgeContext extends Patience {
  readonly nowMs: number
  /** Since when clients have been active; null: nobody is. */
  readonly activeSince: number | null
  /** Last moment at which we doubted ourselves (event loop stalled, resumed from sleep). */
  readonly doubtAt: number | null
  /** Every probed upstream is silent at once: rather our fault than theirs
   *  (docs/decisions/0013). */
  readonly allSilent: boolean
}

/** A reason, and the next instant at which time alone may change it (`Infinity`: never). */
export interface Judgement {
  readonly reason: EvidenceReason
  readonly wakeAt: number
}

/** How an upstream stands to work other than generation. `proven`: done within the window of any
 *  proof. `failing`: its last try failed just now, or waits for too long. */
export type WorkVerdict = 'proven' | 'unproven' | 'failing'

/** One kind of work, and the next instant at which time alone may change it. */
export interface WorkJudgement {
  readonly verdict: WorkVerdict
  readonly wakeAt: number
}

/** Other work that failed is asked of others first for so long, ms; nobody probes it. */
const FAILED_MS = 5_000
/** At an upstream that nobody probes a live failure that was not a refusal is forgotten after this. */
const UNPROBED_FAILURE_MS = 5_000
/** Until one request may try an upstream that nobody probes after it refused one, ms. */
const UNPROBED_TRY = { first: 1_000, max: 30_000 }
/** A try that has not been refused after this has been taken, ms: beyond the time to connect. */
const TAKEN_MS = 2_000
/** So many refusals in a row, with nothing generated between, are about our key. */
const REFUSALS_MAX = 3
const never = Number.NEGATIVE_INFINITY

/**
 * The verdict on one upstream: evidence in, reason out. Pure, and the only place that knows
 * thresholds; a learned policy replaces this function without touching a caller.
 */
export function judge(spec: UpstreamSpec, facts: Facts, ctx: JudgeContext): Judgement {
  const failed = standingFailure(spec, facts, ctx)
  if (failed !== null && !isOutlived(spec, facts, ctx)) return failed
  const overdue = overdueProbe(facts, ctx)
  if (overdue !== null && overdue.reason !== 'ok') return overdue
  const silence = silentRequests(facts, ctx)
  if (silence !== null && silence.reason !== 'ok') return silence
  const proven = provenReason(spec, facts, ctx)
  // It has been asked and may yet answer: doubtful, but the last resort of those who have no other.
  if (proven.reason === 'stale' && overdue !== null) {
    return { reason: 'probe_missed', wakeAt: overdue.wakeAt }
  }
  return {
    reason: proven.reason,
    wakeAt: Math.min(proven.wakeAt, overdue?.wakeAt ?? Infinity, silence?.wakeAt ?? Infinity),
  }
}

/** The verdicts on work other than generation, each by its own proof. */
export function judgeWorks(
  spec: UpstreamSpec,
  facts: Facts,
  ctx: JudgeContext,
): { readonly works: Readonly<Record<OtherWork, WorkVerdict>>; readonly wakeAt: number } {
  const expiresAt = (proofAt: number): number => expiryOf(spec, facts, { proofAt, ctx })
  const of = (work: OtherWork): WorkJudgement => judgeWork(facts, work, { ...ctx, expiresAt })
  const [embedding, rerank] = [of('embedding'), of('rerank')]
  return {
    works: { embedding: embedding.verdict, rerank: rerank.verdict },
    wakeAt: Math.min(embedding.wakeAt, rerank.wakeAt),
  }
}

function standingFailure(spec: UpstreamSpec, facts: Facts, ctx: JudgeContext): Judgement | null {
  const { failure, refusals } = facts
  // Nobody probes it, so nothing but the next try can tell whether our key is good again.
  if (spec.probe !== 'active' && refusals !== null && refusals.count >= REFUSALS_MAX) {
    const wakeAt = refusals.at + UNPROBED_FAILURE_MS
    if (ctx.nowMs < wakeAt) return { reason: 'unauthorized', wakeAt }
  }
  if (failure === null) return null
  // What loads nothing for a request would stay cold where nobody asks again.
  const asked = spec.probe === 'active' || !facts.loadsNothing
  if (failure.reason === 'model_not_loaded' && facts.process === null && asked) {
    const { overdue, wakeAt } = overdueLoad(facts, ctx.nowMs)
    return { reason: overdue ? 'silent' : failure.reason, wakeAt }
  }
  if (spec.probe === 'active') return { reason: failure.reason, wakeAt: Infinity }
  const wakeAt = failure.at + backoffMs(facts.failuresInRow, UNPROBED_TRY)
  if (ctx.nowMs < wakeAt) return { reason: failure.reason, wakeAt }
  const tried = facts.flight.items.filter(({ sentAt }) => sentAt > failure.at)
  const takenAt = Math.min(...tried.map(({ sentAt }) => sentAt + TAKEN_MS), Infinity)
  return ctx.nowMs < takenAt ? { reason: 'live_failure', wakeAt: takenAt } : null
}

/** Was it cold only because nobody says what is in memory, and has traffic shown since that something
 *  is? That holds for as long as any proof. */
function isOutlived(spec: UpstreamSpec, facts: Facts, ctx: JudgeContext): boolean {
  if (facts.failure?.reason !== 'model_not_loaded' || !isUntold({ spec, facts })) return false
  return REASONS[provenReason(spec, facts, ctx).reason].state === 'eligible'
}

/** `probe_missed`, then `wedged`; `ok` with the instant of the first miss while it is not due. */
function overdueProbe(facts: Facts, ctx: JudgeContext): Judgement | null {
  if (facts.silentFrom === null) return null
  const { policy, nowMs } = ctx
  // Where nothing but embeddings is expected, they are the progress.
  const doneAt = onlyEmbeds(facts) ? facts.works.embedding.doneAt : null
  const movedAt = Math.max(facts.progressAt ?? never, doneAt ?? never)
  const heardAt = Math.max(facts.silentFrom, movedAt, ctx.doubtAt ?? never)
  // A decoder that gives a token now and then is given as long as its own longest gap allows.
  const moving = facts.progressAt !== null && facts.progressAt >= facts.silentFrom
  const deadline = moving ? gapBudgetMs(policy, facts) : probeDeadlineMs(policy, facts)
  // What loads a model makes no token; what was asked for after suspicion arose excuses nothing.
  const loads = facts.load !== null && facts.load.since <= heardAt + deadline
  // A prompt that is being read holds up what stands behind it.
  const read = facts.flight.items.filter(({ sentAt }) => sentAt <= heardAt + deadline)
  const readAt = Math.max(never, ...read.map(({ workedAt }) => workedAt ?? never))
  const base = Math.max(heardAt, readAt, loads ? loadExcusesUntil(facts) : never)
  const suspectAt = base + deadline
  if (nowMs < suspectAt) return { reason: 'ok', wakeAt: suspectAt }
  const patience = ejectAfterMs(policy, facts) * (ctx.allSilent ? 2 : 1)
  const ejectAt = Math.max(
    Math.max(base, facts.busyAt ?? never) + patience,
    excusedUntil(facts, suspectAt, ctx),
  )
  if (nowMs < ejectAt) return { reason: 'probe_missed', wakeAt: ejectAt }
  return { reason: 'wedged', wakeAt: Infinity }
}

/**
 * Until when requests in flight explain that nothing moves: a long prefill in a single slot looks
 * like a wedge in everything but its size. Requests sent after suspicion arose excuse nothing, or
 * steady traffic would excuse a wedge for ever.
 */
function excusedUntil(facts: Facts, suspectAt: number, ctx: JudgeContext): number {
  let until = never
  for (const item of facts.flight.items) {
    if (item.sentAt > suspectAt) continue
    const unary = item.streamed ? 0 : unaryExcuseMs(item.maxTokens, ctx.longestUnaryMs)
    const budget =
      item.contentAt === null && !awaitsLoad(facts, item)
        ? waitBudgetMs(ctx.policy, facts, item.bytes) + unary
        : silenceBudgetMs(facts, item, ctx)
    until = Math.max(until, quietSince(item) + budget)
  }
  return until
}

/**
 * `silent`: the newest request waits beyond its budget and no stream there has moved meanwhile; or
 * a stream that had begun stands still for too long, whatever came after it. Otherwise steady
 * traffic hides an engine that gives each new stream a token and freezes.
 */
function silentRequests(facts: Facts, ctx: JudgeContext): Judgement | null {
  const { newest, items } = facts.flight
  if (newest === null) return null
  const moved = Math.max(facts.progressAt ?? never, ctx.doubtAt ?? never, loadExcusesUntil(facts))
  let silentAt = Infinity
  for (const item of [newest, ...items]) {
    if (item !== newest && item.contentAt === null) continue
    const since = awaitsLoad(facts, item) ? item.sentAt : Math.max(quietSince(item), moved)
    silentAt = Math.min(silentAt, since + silentAfterMs(facts, item, ctx))
  }
  return ctx.nowMs < silentAt
    ? { reason: 'ok', wakeAt: silentAt }
    : { reason: 'silent', wakeAt: Infinity }
}

/** A unary answer is silent until its end: before one has shown how long that is, its silence says
 *  no more than it would against an ejection. */
function silentAfterMs(facts: Facts, newest: FlightItem, ctx: JudgeContext): number {
  const budgetMs = silenceBudgetMs(facts, newest, ctx)
  if (newest.streamed || ctx.longestUnaryMs > 0 || awaitsLoad(facts, newest)) return budgetMs
  return budgetMs + unaryExcuseMs(newest.maxTokens, 0)
}

/** What the last proof of generation is worth now. */
function provenReason(spec: UpstreamSpec, facts: Facts, ctx: JudgeContext): Judgement {
  const embeds = onlyEmbeds(facts)
  const proofAt = embeds ? lastDoneAt(facts, 'embedding') : lastProofAt(facts)
  // Where nobody probes, a try that was taken has outlived the refusal.
  const taken = spec.probe !== 'active' && facts.failure !== null
  if (!taken && facts.liveFailureAt !== null && facts.liveFailureAt >= (proofAt ?? never)) {
    const wakeAt = spec.probe === 'active' ? Infinity : facts.liveFailureAt + UNPROBED_FAILURE_MS
    if (ctx.nowMs < wakeAt) return { reason: 'live_failure', wakeAt }
  }
  if (spec.probe === 'off') return { reason: 'ok', wakeAt: Infinity }
  if (proofAt === null) return { reason: 'not_probed_yet', wakeAt: Infinity }
  const expiresAt = expiryOf(spec, facts, { proofAt, ctx })
  // No probe can pass while it loads a model, so no proof expires meanwhile.
  const loads = facts.load !== null && facts.load.since < expiresAt
  const loadedAt = loads ? loadExcusesUntil(facts) + STALE_INTERVALS * ctx.policy.intervalMs : never
  const staleAt = Math.max(expiresAt, loadedAt)
  if (ctx.nowMs >= staleAt) return { reason: 'stale', wakeAt: Infinity }
  if (embeds) return { reason: 'embeddings_only', wakeAt: staleAt }
  const movingUntil = (facts.progressAt ?? never) + ctx.policy.intervalMs
  if (ctx.nowMs >= movingUntil) return { reason: 'ok', wakeAt: staleAt }
  const refusedForLoad = (facts.busyAt ?? never) + ctx.policy.intervalMs > ctx.nowMs
  const queued = facts.flight.waiting > 0 || facts.sentAt !== null || refusedForLoad
  return { reason: queued ? 'busy' : 'ok_by_traffic', wakeAt: Math.min(movingUntil, staleAt) }
}

/** When a proof expires: three intervals. An upstream that was quiet gets the time of one round of
 *  probes after clients come to it, instead of expiring in their face. */
function expiryOf(
  spec: UpstreamSpec,
  facts: Facts,
  { proofAt, ctx }: { readonly proofAt: number; readonly ctx: JudgeContext },
): number {
  const quietMs = Math.max(ctx.policy.quietIntervalMs, spec.quietIntervalMs)
  const quietExpiry = proofAt + STALE_INTERVALS * quietMs
  if (ctx.activeSince === null || spec.probe === 'passive') return quietExpiry
  const pinned = spec.quietIntervalMs > ctx.policy.quietIntervalMs
  if (pinned && !isUsed(facts, ctx.nowMs)) return quietExpiry
  const comeSince = pinned ? (facts.used?.since ?? proofAt) : ctx.activeSince
  const from = Math.max(proofAt, comeSince)
  return Math.min(quietExpiry, from + STALE_INTERVALS * ctx.policy.intervalMs)
}

/** The verdict on one kind of other work. `expiresAt`: when its last proof does. Pure. */
function judgeWork(
  facts: Facts,
  work: OtherWork,
  ctx: {
    readonly nowMs: number
    readonly doubtAt: number | null
    readonly policy: HealthPolicy
    readonly expiresAt: (proofAt: number) => number
  },
): WorkJudgement {
  const { nowMs } = ctx
  const doneAt = lastDoneAt(facts, work)
  const { failedAt } = facts.works[work]
  const failedUntil = failedAt === null ? never : failedAt + FAILED_MS
  if (nowMs < failedUntil) return { verdict: 'failing', wakeAt: failedUntil }
  const item = facts.flight.others?.[work]
  let silentAt = Infinity
  if (item !== undefined) {
    // Behind a load of another model, or a queue that moves, it only waits.
    const loadedAt = isHeldUp(facts, item.sentAt) ? (facts.load?.at ?? never) : never
    const since = Math.max(item.sentAt, doneAt ?? never, ctx.doubtAt ?? never, loadedAt)
    silentAt = since + workBudgetMs({ facts, work }, item, ctx.policy)
    if (nowMs >= silentAt) return { verdict: 'failing', wakeAt: Infinity }
  }
  const expiresAt = doneAt === null ? never : ctx.expiresAt(doneAt)
  if (nowMs >= expiresAt) return { verdict: 'unproven', wakeAt: silentAt }
  return { verdict: 'proven', wakeAt: Math.min(expiresAt, silentAt) }
}
