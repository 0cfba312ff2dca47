import type { EvidenceReason } from './reason.ts'

/**
 * Every way a generation probe can end. A probe that is refused or answered with nonsense has
 * worked: it told us something. Values only, never exceptions.
 */
export type ProbeOutcome =
  /** It generated. `tokens` as the engine counts them (0 where it counts words). */
  | {
      readonly kind: 'pass'
      readonly latencyMs: number
      readonly tokens: number
      /** What the probe had to be like to be accepted; absent: the usual one. */
      readonly form?: string
    }
  /** It embeds: no proof of generation, which it refuses or is not meant for. */
  | { readonly kind: 'embeds'; readonly latencyMs: number }
  /** The limit passed without an answer; the connection was given up. */
  | { readonly kind: 'timeout'; readonly limitMs: number }
  /** Proof of the contrary; `reason` says what, `detail` the status or code. `said`: the engine's own
   *  sentence, one line without our key; it answers our own question, so nothing of a client is in it. */
  | {
      readonly kind: 'fail'
      readonly reason: FailReason
      readonly detail: string
      readonly said?: string
    }
  /** A refusal for load (429, busy 503): neither failure nor proof of life (engines-here fact 2). */
  | { readonly kind: 'busy'; readonly detail: string }
  /** The engine says that its model is not in memory. `loadsNothing`: it said so when it was asked to
   *  generate, and loaded none for that. */
  | { readonly kind: 'cold'; readonly loadsNothing?: boolean }
  /** It says nothing about the upstream: aborted by us, EMFILE, DNS, own event loop stalled. */
  | { readonly kind: 'inconclusive'; readonly detail: string }

/** Failure reasons a probe can prove. */
export type FailReason = Extract<
  EvidenceReason,
  | 'loading'
  | 'sleeping'
  | 'refused'
  | 'unreachable'
  | 'http_5xx'
  | 'invalid_response'
  | 'truncated'
  | 'model_not_found'
  | 'unauthorized'
  | 'bad_request'
  | 'wrong_kind'
>

/** The label of an outcome in metrics and logs: a closed set. */
export function outcomeLabel(outcome: ProbeOutcome): string {
  return outcome.kind === 'fail' ? outcome.reason : outcome.kind
}

/**
 * The word for an outcome in the operator's older world (`generation_probe_reason`):
 * `ok | timeout | http_<status> | parse_error | …`.
 */
export function legacyProbeReason(outcome: ProbeOutcome): string {
  switch (outcome.kind) {
    case 'pass':
      return 'ok'
    case 'embeds':
      return 'embeddings_only'
    case 'timeout':
      return 'timeout'
    case 'busy':
      return outcome.detail
    case 'cold':
      return 'model_not_loaded'
    case 'inconclusive':
      return 'unknown'
    case 'fail':
      if (outcome.detail.startsWith('http_')) return outcome.detail
      return outcome.reason === 'invalid_response' || outcome.reason === 'truncated'
        ? 'parse_error'
        : outcome.reason
  }
}
