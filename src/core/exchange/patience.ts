import type { FlightItem } from '../health/evidence.ts'
import { lastProofAt, NO_FACTS, quietSince } from '../health/facts.ts'
import { isLoadOver, silenceBudgetMs } from '../health/policy.ts'
import type { EvidenceReason } from '../health/reason.ts'
import { mayAbandon, type RouteRequest } from '../route.ts'
import { contextOf, type RoutingTable } from '../table.ts'
import { type AttemptEnding, removed, stalled } from './ending.ts'

/** A stream that says nothing for this long while its upstream goes on proving that it generates is
 *  dead, ms: its connection was lost on the way. Far beyond any pause of a stream that lives. */
const DEAD_MS = 600_000

/** Nothing generates there, or nobody listens any more. Streams can outlive their listener, so the
 *  silence of this very one decides: vLLM that was told to end may leave one open for ever. */
const GONE: readonly EvidenceReason[] = ['refused', 'unreachable', 'http_5xx']

/** A running attempt, as far as patience with it goes. */
export interface Waiting {
  readonly lease: {
    readonly upstream: string
    readonly epoch: number
    readonly item: FlightItem
  }
  /** Has content reached the client? */
  readonly committed: boolean
  /** May the request be sent to another upstream? */
  readonly replay: boolean
  /** Asked for only where it matters. */
  readonly request: () => RouteRequest
  /** For how long nothing has come that could go on to the client, ms; null: the client takes no
   *  more, or nobody judges what comes. */
  readonly stillMs: number | null
}

/**
 * How a running attempt is to end because its upstream is silent; null: not at all. Before content
 * it moves on when another can have it, when its upstream is proven wedged or gone, or when that is
 * not configured any more. After content
 * only that ends it, if this very stream is among the silent, or proof of the upstream that is much
 * younger than anything of this stream. Pure.
 */
export function patienceLost(
  table: RoutingTable,
  { lease, committed, replay, request, stillMs }: Waiting,
  nowMs: number,
): AttemptEnding | null {
  const { upstream, epoch } = lease
  const found = table.entries.find(({ spec }) => spec.name === upstream)
  const entry = found?.epoch === epoch ? found : null
  const wedged = entry?.reason === 'wedged' || entry?.reason === 'sleeping'
  const gone = entry !== null && GONE.includes(entry.reason)
  const proofAt = entry === null ? null : lastProofAt(entry.facts)
  const dead = stillMs !== null && proofAt !== null && proofAt - (nowMs - stillMs) >= DEAD_MS
  // Thousands of streams are looked at every 200 ms, and this is what comes of most looks.
  if (committed && !wedged && !gone && !dead) return null
  const { item } = lease
  const asked = request()
  const { work = 'generation' } = asked
  const silentMs = nowMs - quietSince(item)
  // Nobody watches over it there any more. What has begun to answer goes on, and what may be about to.
  if (entry === null) {
    const ctx = contextOf(table, nowMs)
    const sizedMs = silenceBudgetMs(NO_FACTS, item, ctx, work)
    const waits = silentMs <= Math.max(sizedMs, ctx.policy.detectWithinMs)
    return committed || !replay || waits ? null : removed(upstream)
  }
  // More than what was asked and what it has shown can explain; a client that takes nothing explains it, too.
  const stuck = wedged && work === 'generation'
  // An engine whose chat hangs may still embed, and loads the model for that first.
  const other = work !== null && work !== 'generation'
  const lost =
    (gone || (wedged && !stuck)) &&
    stillMs !== null &&
    silentMs > silenceBudgetMs(entry.facts, item, contextOf(table, nowMs), work)
  if (committed) {
    // While the client takes nothing nobody reads, so its upstream may have said more.
    const read = stillMs !== null
    const silent = read && (stuck || lost) && silentMs >= table.config.health.detectWithinMs
    if (!silent && !dead) return null
    const detail = `${upstream} has been silent for ${Math.round(silentMs)} ms.`
    return { kind: 'cut', code: 'upstream_stalled', detail }
  }
  const unloaded = isLoadOver(entry.facts, item, silentMs)
  const leaves =
    (wedged && !other) ||
    lost ||
    unloaded ||
    mayAbandon(table, upstream, { request: asked, item, nowMs })
  return leaves ? stalled(upstream, silentMs) : null
}
