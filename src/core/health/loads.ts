import type { Flight, FlightItem } from './evidence.ts'
import type { Facts } from './facts.ts'

/** A cold load that requests were seen to wait for: since when, and when last. Monotonic ms. */
export interface Load {
  readonly since: number
  readonly at: number
  /** When a request that waited for one got its first content; null: none has. */
  readonly endedAt: number | null
}

/** Loads that are remembered. Models of one upstream differ in size, so their longest counts. */
const LOADS_MAX = 4
const SHOWN_FACTOR = 4
/** What a first load may take before another upstream is asked, ms: a large model from a disk. */
const UNSHOWN_MS = 60_000
/** A small model must not set the time for a large one, ms. */
const SHOWN_MS_MIN = 30_000
const LOAD_MS_MAX = 600_000
/** Where nobody else can serve, a load is given at least this, ms. */
const LAST_RESORT_MS_MIN = 120_000
/** After a load that never ended others are asked first for so long, ms. */
const LOAD_FAILED_MS = 60_000

type Loading = Pick<Facts, 'coldLoadsMs' | 'load' | 'loadFailedAt' | 'failure' | 'flight'>

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

/** Does this request wait for its model to be loaded, as far as we know? */
export function awaitsLoad({ failure }: Pick<Facts, 'failure'>, item: FlightItem): boolean {
  return item.contentAt === null && (item.cold === true || failure?.reason === 'model_not_loaded')
}

/** The load that is under way, or was last, after a look at what is in flight. Pure. */
export function loadAfter(was: Loading, flight: Flight, at: number): Load | null {
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

/** Did what began at `since` wait while a model was loaded? Then it tells nothing of one in memory. */
export function isHeldUp({ load }: Pick<Facts, 'load'>, since: number): boolean {
  return load !== null && since <= load.at
}

/** Facts after the first content of a request that was sent at `sentAt` and waited for a load. Pure. */
export function afterLoad(was: Facts, sentAt: number, at: number): Facts {
  const coldLoadsMs = [...was.coldLoadsMs, at - sentAt].slice(-LOADS_MAX)
  // Something was loaded: whatever else is, begins now.
  const load = { since: at, at: was.load?.at ?? sentAt, endedAt: at }
  return { ...was, coldLoadsMs, load, loadFailedAt: null }
}

/** Until when a load explains that nothing else moves; `-Infinity`: none does. */
export function loadExcusesUntil({ load, ...facts }: Loading): number {
  if (load === null) return Number.NEGATIVE_INFINITY
  return Math.min(load.at, load.since + loadBudgetMs(facts))
}

/** Does its load take too long, or has one just done so? With the instant at which that changes. */
export function overdueLoad(
  facts: Loading,
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
