import type { FailReason, ProbeOutcome } from '../core/health/evidence.ts'

/** Stands where the gate itself answered; no upstream can be called so. */
export const NO_UPSTREAM = '-'
/** Stands for a value outside a closed set, so that no input can grow the number of series. */
export const OTHER = 'other'

type Outcome = Exclude<ProbeOutcome['kind'], 'fail'> | FailReason

/** Every outcome label, spelled so that the compiler notices a new one. */
const OUTCOMES: Readonly<Record<Outcome, true>> = {
  pass: true,
  embeds: true,
  timeout: true,
  busy: true,
  cold: true,
  inconclusive: true,
  loading: true,
  sleeping: true,
  refused: true,
  unreachable: true,
  http_5xx: true,
  invalid_response: true,
  truncated: true,
  model_not_found: true,
  unauthorized: true,
  bad_request: true,
  wrong_kind: true,
}

export function labelOfOutcome(outcome: string): string {
  return Object.hasOwn(OUTCOMES, outcome) ? outcome : OTHER
}

/** An upstream may answer with any number; only the statuses that HTTP has become labels. */
export function labelOfStatus(status: number): string {
  return Number.isInteger(status) && status >= 100 && status <= 599 ? String(status) : OTHER
}
