import { lastProofAt } from '../core/facts.ts'
import { mayAbandon, type RouteRequest } from '../core/route.ts'
import type { RoutingTable } from '../core/table.ts'
import { routeRequest, type Running } from './begin.ts'
import type { Flow } from './client-flow.ts'
import type { Asked } from './deps.ts'
import { type AttemptEnding, stalled } from './ending.ts'
import type { Lease } from './leases.ts'

/** A stream that says nothing for this long while its upstream goes on proving that it generates is
 *  dead, ms: its connection was lost on the way. Far beyond any pause of a stream that lives. */
const DEAD_MS = 600_000

/** A running attempt, as far as patience with it goes. */
export interface Waiting {
  readonly lease: Pick<Lease, 'upstream' | 'epoch' | 'item'>
  /** Has content reached the client? */
  readonly committed: boolean
  /** Asked for only where it matters. */
  readonly request: () => RouteRequest
  /** For how long nothing has come that could go on to the client, ms; null: the client takes no
   *  more, or nobody judges what comes. */
  readonly stillMs: number | null
}

/** What patience has to know of the attempt that runs now. */
export function waitingOf(
  { attempt, lease }: Running,
  asked: Asked,
  { tried, flow }: { readonly tried: readonly string[]; readonly flow: Flow },
): Waiting {
  const judged = !flow.blocked && asked.lane.api !== null
  const stillMs = judged ? flow.stillMs : null
  const request = (): RouteRequest => routeRequest(asked, tried)
  return { lease, committed: attempt.committed, request, stillMs }
}

/**
 * How a running attempt is to end because its upstream is silent; null: not at all. Before content
 * it moves on when another can have it, or when its upstream is proven wedged. After content only
 * a proven wedge ends it, if this very stream is among the silent, or proof of the upstream that is
 * much younger than anything of this stream. Pure.
 */
export function patienceLost(
  table: RoutingTable,
  { lease, committed, request, stillMs }: Waiting,
  nowMs: number,
): AttemptEnding | null {
  const { upstream, epoch } = lease
  const entry = table.entries.find(({ spec }) => spec.name === upstream)
  const facts = entry?.epoch === epoch ? entry.facts : null
  const wedged = facts !== null && entry?.reason === 'wedged'
  const proofAt = facts === null ? null : lastProofAt(facts)
  const dead = stillMs !== null && proofAt !== null && proofAt - (nowMs - stillMs) >= DEAD_MS
  // Thousands of streams are looked at every 200 ms, and this is what comes of most looks.
  if (committed && !wedged && !dead) return null
  const { item } = lease
  const silentMs = nowMs - (item.contentAt ?? item.sentAt)
  if (committed) {
    if (!dead && silentMs < table.config.health.detectWithinMs) return null
    const detail = `${upstream} has been silent for ${Math.round(silentMs)} ms.`
    return { kind: 'cut', code: 'upstream_stalled', detail }
  }
  const leaves = wedged || mayAbandon(table, upstream, { request: request(), item, nowMs })
  return leaves ? stalled(upstream, silentMs) : null
}
