import type { FlightItem } from './evidence.ts'
import { type Facts, lastProofAt } from './facts.ts'
import type { OtherWork } from '../model/listed-model.ts'
import { isHeldUp, loadBudgetMs } from './loads.ts'
import { EXCUSE_MS_MAX, type HealthPolicy } from './policy.ts'

/** How an upstream stands to work that is no generation. `proven`: done within the window of any
 *  proof. `failing`: its last try failed just now, or waits for too long. */
export type WorkVerdict = 'proven' | 'unproven' | 'failing'

/** One kind of work, and the next instant at which time alone may change it. */
export interface WorkJudgement {
  readonly verdict: WorkVerdict
  readonly wakeAt: number
}

/** Other work that failed is asked of others first for so long, ms; nobody probes it. */
const FAILED_MS = 5_000
const SHOWN_FACTOR = 4
/** Bytes that an engine reads in at least, per second: as for a prompt. */
const BYTES_PER_S_MIN = 400
const never = Number.NEGATIVE_INFINITY

/** Does it embed, and has it not generated since? */
export function onlyEmbeds(facts: Pick<Facts, 'embedsAt' | 'passAt' | 'progressAt'>): boolean {
  return facts.embedsAt !== null && facts.embedsAt > (lastProofAt(facts) ?? never)
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

/** How long such a request may be silent before another upstream should be asked, ms. */
export function workBudgetMs(
  { facts, work }: { readonly facts: Facts; readonly work: OtherWork },
  item: FlightItem,
  policy: HealthPolicy,
): number {
  if (item.cold === true) return loadBudgetMs(facts)
  const shownMs = SHOWN_FACTOR * facts.works[work].longestMs
  const sizedMs = (item.bytes / BYTES_PER_S_MIN) * 1_000
  return Math.min(Math.max(2 * policy.detectWithinMs, shownMs, sizedMs), EXCUSE_MS_MAX)
}

/** The verdict on one kind of other work. `expiresAt`: when its last proof does. Pure. */
export function judgeWork(
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
