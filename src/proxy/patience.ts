import { mayAbandon, type RouteRequest } from '../core/route.ts'
import type { RoutingTable } from '../core/table.ts'
import { type AttemptEnding, stalled } from './ending.ts'
import type { Lease } from './leases.ts'

/** A running attempt, as far as patience with it goes. */
export interface Waiting {
  readonly lease: Pick<Lease, 'upstream' | 'epoch' | 'item'>
  /** Has content reached the client? */
  readonly committed: boolean
  /** Asked for only where it matters: thousands of streams are looked at every 200 ms. */
  readonly request: () => RouteRequest
}

/**
 * How a running attempt is to end because its upstream is silent; null: not at all. Before content
 * it moves on when another can have it, or when its upstream is proven wedged. After content only
 * a proven wedge ends it, and only if this very stream is among the silent. Pure.
 */
export function patienceLost(
  table: RoutingTable,
  { lease, committed, request }: Waiting,
  nowMs: number,
): AttemptEnding | null {
  const { upstream, epoch } = lease
  const entry = table.entries.find(({ spec }) => spec.name === upstream)
  const wedged = entry?.epoch === epoch && entry.reason === 'wedged'
  if (committed && !wedged) return null
  const { item } = lease
  const silentMs = nowMs - (item.contentAt ?? item.sentAt)
  if (committed) {
    if (silentMs < table.config.health.detectWithinMs) return null
    const detail = `${upstream} has been silent for ${Math.round(silentMs)} ms.`
    return { kind: 'cut', code: 'upstream_stalled', detail }
  }
  const leaves = wedged || mayAbandon(table, upstream, { request: request(), item, nowMs })
  return leaves ? stalled(upstream, silentMs) : null
}
