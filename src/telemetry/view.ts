import { lastProofAt } from '../core/health/facts.ts'
import { ejectAfterMs, probeDeadlineMs } from '../core/health/policy.ts'
import type { ProcessState, ProcessStatus } from '../core/owned/process.ts'
import type { State } from '../core/health/reason.ts'
import type { RoutingTable } from '../core/table.ts'
import { stateOf } from '../core/entry.ts'

/** One upstream at the moment of a scrape, as a plain value. */
export interface UpstreamView {
  readonly name: string
  readonly state: State
  readonly inFlight: number
  /** Last proof of generation on the wall clock, ms since 1970; null: never. */
  readonly lastGenerationWallMs: number | null
  readonly probeDeadlineMs: number
  readonly ejectAfterMs: number
  /** What its process does, where the gate owns it. */
  readonly engine?: ProcessState | null
}

/** What a scrape shows, read when it happens. */
export interface MetricsView {
  readonly upstreams: readonly UpstreamView[]
}

/** What the table cannot know. */
export interface ViewContext {
  readonly nowMs: number
  readonly wallMs: number
  readonly inFlight: (name: string) => number
  /** Absent: the gate owns no engine. */
  readonly engineOf?: (name: string) => ProcessStatus | null
}

/** The truth that the gauges show, from one snapshot. Pure. */
export function viewOf(table: RoutingTable, context: ViewContext): MetricsView {
  const { health } = table.config
  return {
    upstreams: table.entries.map((entry) => {
      const proofAt = lastProofAt(entry.facts)
      return {
        name: entry.spec.name,
        state: stateOf(entry),
        inFlight: context.inFlight(entry.spec.name),
        lastGenerationWallMs: proofAt === null ? null : context.wallMs - (context.nowMs - proofAt),
        probeDeadlineMs: probeDeadlineMs(health, entry.facts),
        ejectAfterMs: ejectAfterMs(health, entry.facts),
        engine: context.engineOf?.(entry.spec.name)?.state ?? null,
      }
    }),
  }
}
