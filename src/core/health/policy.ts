import type { OtherWork, Work } from '../model/model-choice.ts'
import type { FlightItem } from './evidence.ts'
import { awaitsLoad, type Facts } from './facts.ts'

/** What the operator states; everything else is derived from it and from what an upstream shows. */
export interface HealthPolicy {
  /** Target for "wedge → no new traffic", ms. */
  readonly detectWithinMs: number
  /** Between two probes of an idle upstream while clients are active, ms. */
  readonly intervalMs: number
  /** The same while no client is active, ms. */
  readonly quietIntervalMs: number
}

/** A probe's connection is given up after this; until then one request can still convict
 *  (docs/decisions/0018). */
export const PROBE_LIMIT_MS = 30_000
/** Between a pass and the pass that confirms it, and at least between two probes. */
export const RECHECK_MS = 500
/** Evidence older than this many intervals proves nothing (docs/decisions/0001). */
export const STALE_INTERVALS = 3
/** No single silence is excused for longer by what an upstream has shown before. */
const EXCUSE_MS_MAX = 600_000

const DEADLINE_MS_MIN = 500
/** Slack over what was shown: a silence counts only beyond this many times the longest before. */
const SHOWN_FACTOR = 4
/** Slowest prefill that an upstream may have before it has shown its own: 100 tokens/s × 4 bytes,
 *  a 3B model on two cores (on which 25 to 60 tokens/s of *decode* were seen). */
const PREFILL_BYTES_PER_S_MIN = 400
/** Samples of similar size after which the shown speed replaces the assumed one. */
const SAMPLES_MIN = 3
/** A unary answer says nothing until its end; unless its `max_tokens` bounds it, this much
 *  silence proves nothing while another is being asked to decide an ejection. */
const UNARY_EXCUSE_MS = 60_000
const MS_PER_TOKEN_ASSUMED = 250
/** What a first load may take before another upstream is asked, ms: a large model from a disk. */
const UNSHOWN_MS = 60_000
/** A small model must not set the time for a large one, ms. */
const SHOWN_MS_MIN = 30_000
const LOAD_MS_MAX = 600_000
/** Where nobody else can serve, a load is given at least this, ms. */
const LAST_RESORT_MS_MIN = 120_000
/** After a load that never ended others are asked first for so long, ms. */
const LOAD_FAILED_MS = 60_000

/** Deadline of a probe, ms: each one that passes is one miss. The target's share, stretched by the
 *  slowest of the latest passes so that a slow engine is not called a wedged one. */
export function probeDeadlineMs(policy: HealthPolicy, facts: Facts): number {
  const share = Math.max(DEADLINE_MS_MIN, (policy.detectWithinMs - policy.intervalMs) / 2)
  const shown = SHOWN_FACTOR * usuallySlowest(facts.latenciesMs)
  return Math.min(Math.max(share, shown), PROBE_LIMIT_MS)
}

/** How long nothing may move before `suspect` becomes `wedged`, ms: three deadlines, and never
 *  sooner than twice the target, since ejecting costs running streams (docs/decisions/0002). */
export function ejectAfterMs(policy: HealthPolicy, facts: Facts): number {
  return Math.max(3 * probeDeadlineMs(policy, facts), 2 * policy.detectWithinMs)
}

/** The gap between two tokens that this upstream may make without being called silent, ms. */
export function gapBudgetMs(policy: HealthPolicy, facts: Facts): number {
  const floor = Math.max(probeDeadlineMs(policy, facts), policy.detectWithinMs / 2)
  return Math.min(Math.max(floor, SHOWN_FACTOR * facts.longestGapMs), EXCUSE_MS_MAX)
}

/**
 * How long a request of `bytes` may wait for its first content, ms. Scales with the size of what
 * was asked and with what this upstream has shown; no fixed timer
 * (docs/decisions/0012).
 */
export function waitBudgetMs(policy: HealthPolicy, facts: Facts, bytes: number): number {
  const floor = policy.detectWithinMs / 2
  const similar = facts.ttfts.filter((sample) => sample.bytes >= bytes / 2)
  const shown = similar.length >= SAMPLES_MIN ? similar : facts.ttfts
  const waitsMs = [...shown.map((sample) => sample.ms), ...facts.latenciesMs]
  const shownMs = SHOWN_FACTOR * Math.max(0, ...waitsMs)
  const sizedMs = similar.length >= SAMPLES_MIN ? 0 : (bytes / PREFILL_BYTES_PER_S_MIN) * 1000
  return Math.min(Math.max(floor, shownMs, sizedMs), EXCUSE_MS_MAX)
}

/** What a unary answer may take on top of the wait for its first token, ms; `longestMs` is the
 *  longest unary answer seen anywhere: clients ask every upstream for the same kind of thing. */
export function unaryAllowanceMs(maxTokens: number | null, longestMs: number): number {
  const bounded = maxTokens === null ? EXCUSE_MS_MAX : maxTokens * MS_PER_TOKEN_ASSUMED
  return Math.min(2 * longestMs, bounded)
}

/** The same while an ejection is decided, where a wrong verdict costs more. */
export function unaryExcuseMs(maxTokens: number | null, longestMs: number): number {
  const bounded = maxTokens === null ? UNARY_EXCUSE_MS : maxTokens * MS_PER_TOKEN_ASSUMED
  return Math.min(Math.max(2 * longestMs, bounded), EXCUSE_MS_MAX)
}

/** What a budget depends on besides one upstream. */
export interface Patience {
  readonly policy: HealthPolicy
  /** Longest unary answer seen at any upstream, ms. */
  readonly longestUnaryMs: number
}

/** How long this request may be silent at this upstream before another should be asked, ms. */
export function silenceBudgetMs(
  facts: Facts,
  item: FlightItem,
  ctx: Patience,
  work: Work | null = 'generation',
): number {
  if (work !== 'generation' && work !== null) return workBudgetMs({ facts, work }, item, ctx.policy)
  if (item.contentAt !== null) return gapBudgetMs(ctx.policy, facts)
  if (awaitsLoad(facts, item)) {
    // Of a unary answer nobody sees when its load is over.
    const unary = item.streamed ? 0 : unaryExcuseMs(item.maxTokens, ctx.longestUnaryMs)
    return Math.max(loadBudgetMs(facts), waitBudgetMs(ctx.policy, facts, item.bytes)) + unary
  }
  const wait = waitBudgetMs(ctx.policy, facts, item.bytes)
  return item.streamed ? wait : wait + unaryAllowanceMs(item.maxTokens, ctx.longestUnaryMs)
}

/** How long such a request may be silent before another upstream should be asked, ms. */
export function workBudgetMs(
  { facts, work }: { readonly facts: Facts; readonly work: OtherWork },
  item: FlightItem,
  policy: HealthPolicy,
): number {
  if (item.cold === true) return loadBudgetMs(facts)
  const shownMs = SHOWN_FACTOR * facts.works[work].longestMs
  const sizedMs = (item.bytes / PREFILL_BYTES_PER_S_MIN) * 1_000
  return Math.min(Math.max(2 * policy.detectWithinMs, shownMs, sizedMs), EXCUSE_MS_MAX)
}

/** How long a load may take at this upstream before another one should be asked, ms. */
export function loadBudgetMs({ coldLoadsMs }: Pick<Facts, 'coldLoadsMs'>): number {
  if (coldLoadsMs.length === 0) return UNSHOWN_MS
  return Math.min(LOAD_MS_MAX, Math.max(SHOWN_MS_MIN, SHOWN_FACTOR * Math.max(...coldLoadsMs)))
}

/** Will this load end no more, even if no other upstream can be asked? One where nobody has seen a load
 *  end may take ten minutes. Of a unary answer nobody sees when it began: then the engine decides. */
export function isLoadOver(
  facts: Pick<Facts, 'coldLoadsMs' | 'failure'>,
  item: FlightItem,
  silentMs: number,
): boolean {
  if (!awaitsLoad(facts, item)) return false
  if (!item.streamed && facts.failure?.reason !== 'model_not_loaded') return false
  const seen = facts.coldLoadsMs.length > 0
  const limitMs = seen ? Math.max(LAST_RESORT_MS_MIN, 2 * loadBudgetMs(facts)) : LOAD_MS_MAX
  return silentMs > Math.min(LOAD_MS_MAX, limitMs)
}

/** Until when a load explains that nothing else moves; `-Infinity`: none does. */
export function loadExcusesUntil({ load, ...facts }: Pick<Facts, 'load' | 'coldLoadsMs'>): number {
  if (load === null) return Number.NEGATIVE_INFINITY
  return Math.min(load.at, load.since + loadBudgetMs(facts))
}

/** Does its load take too long, or has one just done so? With the instant at which that changes. */
export function overdueLoad(
  facts: Facts,
  nowMs: number,
): { readonly overdue: boolean; readonly wakeAt: number } {
  const failedUntil = (facts.loadFailedAt ?? Number.NEGATIVE_INFINITY) + LOAD_FAILED_MS
  if (nowMs < failedUntil) return { overdue: true, wakeAt: failedUntil }
  const waits = facts.flight.items.some((item) => item.streamed && awaitsLoad(facts, item))
  if (!waits || facts.load === null) return { overdue: false, wakeAt: Infinity }
  const overdueAt = facts.load.since + loadBudgetMs(facts)
  return nowMs < overdueAt
    ? { overdue: false, wakeAt: overdueAt }
    : { overdue: true, wakeAt: Infinity }
}

/** The upper median: probes that hung through a fault show how long the fault was, not how slow the
 *  engine is. */
function usuallySlowest(latenciesMs: readonly number[]): number {
  const sorted = latenciesMs.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

/** Bounds of a wait that doubles, ms. */
export interface BackoffBounds {
  readonly first: number
  readonly max: number
}

/** How long to wait after the `times`-th failure in a row, counted from 1, ms. Pure. */
export function backoffMs(times: number, { first, max }: BackoffBounds): number {
  return Math.min(first * 2 ** Math.max(0, times - 1), max)
}
