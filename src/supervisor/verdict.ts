import type { ProcessPhase } from '../core/owned/process.ts'
import type { Reason } from '../core/health/reason.ts'
import { contextOf, type RoutingTable } from '../core/table.ts'

/** What the routing table says of one upstream, as far as its process is concerned. Monotonic ms. */
export interface Verdict {
  /** What evidence says, whatever the operator intends. */
  readonly reason: Reason
  readonly since: number
  readonly phase: ProcessPhase | null
  readonly phaseAt: number
  /** When we last doubted ourselves. */
  readonly doubtAt: number | null
  /** Is every probed upstream silent at once? */
  readonly allSilent: boolean
  /** When an answer from there last moved. */
  readonly movedAt: number | null
  /** Is a probe outstanding? An engine that is told to end while it has a request may wait for that. */
  readonly probing: boolean
  /** Last request that waits for a start. */
  readonly wantedAt: number | null
}

/** The verdict on the upstream `name`; null: the table has none. Pure. */
export function verdictOf(table: RoutingTable, name: string, nowMs: number): Verdict | null {
  const entry = table.entries.find(({ spec }) => spec.name === name)
  if (entry === undefined) return null
  const { facts, reason, since } = entry
  const { flight, progressAt, process, wantedAt } = facts
  const moved = [progressAt, ...flight.items.map((item) => item.contentAt)]
  const movedAt = Math.max(...moved.map((at) => at ?? Number.NEGATIVE_INFINITY))
  const { doubtAt, allSilent } = contextOf(table, nowMs)
  return {
    reason,
    since,
    phase: process?.phase ?? null,
    phaseAt: process?.at ?? since,
    doubtAt,
    allSilent,
    movedAt: Number.isFinite(movedAt) ? movedAt : null,
    probing: facts.sentAt !== null,
    wantedAt,
  }
}
