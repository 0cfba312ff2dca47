import type { Evidence } from '../../src/core/evidence.ts'
import type { Engine } from './sim-engine.ts'

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
  longestGapMs = 0
  /** Has it been eligible since its engine is healthy? From then on every ejection is false. */
  admitted = false
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

  note(evidence: Evidence): void {
    switch (evidence.type) {
      case 'progress':
        this.longestGapMs = Math.max(this.longestGapMs, evidence.gapMs)
        return this.#moved(evidence.at)
      case 'finished':
        return this.#moved(evidence.at)
      case 'live_failure':
        this.liveFailureAt = evidence.at
        if (evidence.failure === 'refused') this.#failed('refused', evidence.at)
        return
      case 'probe_ended':
        if (evidence.outcome.kind === 'pass') {
          this.proofAt = evidence.at
          this.failedWhy = ''
          this.failureAt = never
          this.owed = Math.max(0, this.owed - 1)
          this.latenciesMs = [...this.latenciesMs, evidence.outcome.latencyMs].slice(-8)
        } else if (evidence.outcome.kind === 'fail') {
          if (evidence.outcome.reason === 'refused' || this.progressAt < (this.probesAt.at(-1) ?? 0))
            this.#failed(evidence.outcome.reason, evidence.at)
        }
        return
      default:
    }
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

  /** How long a silence of this upstream may go unnoticed before new requests avoid it, ms. */
  dutyMs(health: { readonly detectWithinMs: number; readonly intervalMs: number }): number {
    const share = Math.max(500, (health.detectWithinMs - health.intervalMs) / 2)
    const deadline = Math.min(30_000, Math.max(share, 4 * Math.max(0, ...this.latenciesMs)))
    const gap = Math.max(deadline, health.detectWithinMs / 2, 4 * this.longestGapMs)
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
