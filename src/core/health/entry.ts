import type { Facts } from './facts.ts'
import type { OtherWork } from '../model/listed-model.ts'
import type { EvidenceReason } from './reason.ts'
import type { UpstreamSpec } from '../upstream.ts'
import type { WorkVerdict } from './works.ts'

/** One row of the routing table. */
export interface Entry {
  readonly spec: UpstreamSpec
  /** Changes with the address, the engine or the model: evidence of an older epoch is void. */
  readonly epoch: number
  readonly facts: Facts
  readonly reason: EvidenceReason
  /** How it stands to work other than generation. */
  readonly works: Readonly<Record<OtherWork, WorkVerdict>>
  /** Since when it has this reason, monotonic ms. */
  readonly since: number
  readonly wakeAt: number
  /** When it came back from an ejection; null: it never did. */
  readonly admittedAt: number | null
  readonly ejections: {
    readonly count: number
    readonly lastAt: number
    readonly holdUntil: number
  }
}
