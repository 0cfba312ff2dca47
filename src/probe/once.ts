import { idsOf } from '../core/model/listed-model.ts'
import type { ProbeOutcome } from '../core/health/evidence.ts'
import type { EngineKind } from '../core/upstream.ts'
import { quirksOf } from '../engines/index.ts'
import type { Clock } from '../runtime/clock.ts'
import { Listing } from './listing.ts'
import { NO_MEMORY, runRound } from './round.ts'
import { fetchJson, runProbe, type Wire } from './run.ts'
import type { Target } from './wire.ts'

/** One look at one server, without a table. */
export interface OnceCall {
  readonly target: Target
  readonly engine: EngineKind
  /** Null: discovered. */
  readonly model: string | null
  readonly maxTokens: number
  /** The generation is given up after this, ms; the model list too, and not later than 2 s. */
  readonly limitMs: number
  readonly clock: Clock
  readonly signal: AbortSignal
  /** The network; absent: the real one. */
  readonly wire?: Wire
}

export interface OnceResult {
  readonly outcome: ProbeOutcome
  /** The names it lists; null: it did not say. */
  readonly models: readonly string[] | null
  readonly durationMs: number
}

const QUERY_LIMIT_MS_MAX = 2_000

/** Probes a server once, as the prober would: for `gengate probe` and `diag`. Never rejects. */
export async function probeOnce(call: OnceCall): Promise<OnceResult> {
  const { clock, wire = { probe: runProbe, get: fetchJson } } = call
  const listing = new Listing({ clock, get: wire.get, onModels: () => {} })
  const startedAt = clock.nowMs()
  const { outcome } = await runRound(
    {
      ...call,
      wire,
      listing,
      quirks: quirksOf(call.engine),
      queryLimitMs: Math.min(call.limitMs, QUERY_LIMIT_MS_MAX),
      swaps: 'auto',
      proven: [],
      onLoaded: () => {},
      onSent: () => {},
      onProgress: () => {},
    },
    NO_MEMORY,
  )
  const durationMs = clock.nowMs() - startedAt
  await listing.settled()
  return { outcome, models: idsOf(listing.models), durationMs }
}
