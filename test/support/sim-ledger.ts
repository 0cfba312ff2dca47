import type { Evidence, ProbeOutcome } from '../../src/core/health/evidence.ts'
import type { Entry } from '../../src/core/table.ts'
import type { Engine, Fault } from './sim-engine.ts'

/** Faults that must move traffic away while another upstream is eligible. */
const WEDGES: ReadonlySet<Fault> = new Set([
  'silent',
  'one_token',
  'two_tokens',
  'slow_wedge',
  'busy_wedge',
])
const never = Number.NEGATIVE_INFINITY

/** What a careful observer has seen of one upstream in one epoch, kept apart from the core. */
export class Ledger {
  readonly name: string
  readonly epoch: number
  readonly engine: Engine | undefined
  proofAt = never
  progressAt = never
  /** The newest conclusive evidence to the contrary. */
  failureAt = never
  failedWhy = ''
  liveFailureAt = never
  probesAt: number[] = []
  probing = 0
  latenciesMs: number[] = []
  /** Of all passes, those included that hung in a fault. */
  #passesMs: number[] = []
  /** Has it been eligible since its engine is healthy? From then on every ejection is false. */
  admitted = false
  admittedAt: number | null = null
  healthySince = 0
  owed = 0
  holdUntil = never
  ejectedAt: number[] = []
  /** An open wedge: since when, and since when it is the gate's duty to know. */
  wedge: { at: number; dutySince: number | null; soft: boolean; hard: boolean } | null = null

  constructor(name: string, epoch: number, engine: Engine | undefined) {
    this.name = name
    this.epoch = epoch
    this.engine = engine
  }

  get healthy(): boolean {
    return this.engine?.fault === 'none'
  }

  /** The truth about the engine changed at `at`; what the gate avoids already it has not to notice. */
  turned(
    fault: Fault,
    at: number,
    known: { readonly soft: boolean; readonly hard: boolean },
  ): void {
    this.admitted = false
    this.admittedAt = null
    this.healthySince = at
    this.wedge = WEDGES.has(fault) ? { at, dutySince: null, ...known } : null
  }

  note(evidence: Evidence): void {
    const { type, at } = evidence
    if (type === 'progress' || type === 'finished') this.#moved(at)
    if (type === 'probe_ended') this.#probed(evidence.outcome, at)
    if (type !== 'live_failure') return
    this.liveFailureAt = at
    if (evidence.failure === 'refused') this.#failed('refused', at)
  }

  #probed(outcome: ProbeOutcome, at: number): void {
    if (outcome.kind === 'pass') {
      this.proofAt = at
      this.failedWhy = ''
      this.failureAt = never
      this.owed = Math.max(0, this.owed - 1)
      this.#passesMs.push(outcome.latencyMs)
      // A probe that hung in a fault shows how long the fault was, not how slow the engine is.
      if (at - outcome.latencyMs >= this.healthySince && this.healthy) {
        this.latenciesMs = [...this.latenciesMs, outcome.latencyMs].slice(-8)
      }
    }
    if (outcome.kind !== 'fail') return
    const vetoed = this.progressAt >= (this.probesAt.at(-1) ?? 0)
    if (outcome.reason === 'refused' || !vetoed) this.#failed(outcome.reason, at)
  }

  /** It was serving and is ejected now: what the gate owes before it may serve again. */
  ejected(at: number): void {
    this.ejectedAt = [...this.ejectedAt.filter((was) => at - was < 3_600_000), at]
    this.owed = 2
    let count = 1
    for (let i = this.ejectedAt.length - 1; i > 0; i--) {
      if ((this.ejectedAt[i] ?? 0) - (this.ejectedAt[i - 1] ?? 0) >= 600_000) break
      count++
    }
    this.holdUntil = count === 1 ? at : at + Math.min(5_000 * 2 ** (count - 2), 300_000)
  }

  /** It has forgotten its model: what it owed it owes no more. */
  pardon(): void {
    this.owed = 0
    this.holdUntil = never
  }

  /** How long a silence of this upstream may go unnoticed before new requests avoid it, ms.
   *  `longestGapMs`: as the core remembers it; latencies are those that no fault has stretched. */
  dutyMs(
    health: { readonly detectWithinMs: number; readonly intervalMs: number },
    longestGapMs: number,
  ): number {
    const share = Math.max(500, (health.detectWithinMs - health.intervalMs) / 2)
    // Of two passes nobody can tell which one is the ordinary one.
    const known = this.#passesMs.length > 2 ? this.latenciesMs : this.#passesMs
    const deadline = Math.min(30_000, Math.max(share, 4 * Math.max(0, ...known)))
    const gap = Math.max(deadline, health.detectWithinMs / 2, 4 * longestGapMs)
    return Math.max(health.detectWithinMs, 1.1 * health.intervalMs + gap)
  }

  #moved(at: number): void {
    this.progressAt = at
    this.proofAt = at
    if (this.failedWhy === 'refused') return
    this.failedWhy = ''
    this.failureAt = never
    this.owed = 0
  }

  #failed(why: string, at: number): void {
    this.failedWhy = why
    this.failureAt = at
  }
}

/** Does a stream that has begun stand still there? */
export function hangs({ facts }: Entry): boolean {
  return facts.flight.items.some(({ contentAt }) => contentAt !== null)
}
