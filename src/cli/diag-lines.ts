import { legacyProbeReason, type ProbeOutcome } from '../core/health/evidence.ts'
import { REASONS, type Reason } from '../core/health/reason.ts'
import { isReason } from './gate-status.ts'

/** One upstream as `diag` shows it. */
export interface DiagUpstream {
  readonly name: string
  readonly enabled: boolean
  readonly eligible: boolean
  /** A word of ours; it is translated here. */
  readonly reason: string
  /** Names of env keys, never values. */
  readonly authEnvKeys: readonly string[]
}

/** What `diag` found out. */
export interface Diagnosis {
  /** Does anything answer where clients send their requests? */
  readonly endpointPresent: boolean
  /** How many models it lists; null: the listing failed. */
  readonly models: number | null
  readonly generationOk: boolean
  /** In the operator's words: `ok`, `timeout`, `http_500`, … */
  readonly generationReason: string
  readonly eligible: boolean
  readonly reason: string
  readonly upstreams: readonly DiagUpstream[]
}

/** The secret-safe lines that operators' scripts read. Pure. */
export function diagLines(found: Diagnosis): string[] {
  return [
    `local_vllm_endpoint_present=${found.endpointPresent}`,
    `local_vllm_models_fetch_ok=${found.models !== null}`,
    `local_vllm_models_count=${found.models ?? 0}`,
    `local_vllm_generation_probe_ok=${found.generationOk}`,
    `local_vllm_generation_probe_reason=${found.generationReason}`,
    `local_vllm: eligible=${yes(found.eligible)} reason=${found.reason}`,
    ...found.upstreams.map(
      ({ name, enabled, eligible, reason, authEnvKeys }) =>
        `- ${name}: configured=yes enabled=${yes(enabled)} eligible=${yes(eligible)}` +
        ` reason=${diagReason(reason)} auth_env_keys=${authEnvKeys.join(',') || 'none'}`,
    ),
  ]
}

/** Reasons that say "asked to generate, it did not": one word in the operator's world. */
const GENERATION_FAILED: ReadonlySet<Reason> = new Set<Reason>([
  'probe_missed',
  'silent',
  'slow',
  'live_failure',
  'wedged',
  'http_5xx',
  'invalid_response',
  'truncated',
  'hold_down',
])

/** The operator's word for a reason: `ok`, `generation_probe_failed`, else our own. Pure. */
export function diagReason(reason: string): string {
  if (!isReason(reason)) return reason
  if (REASONS[reason].state === 'eligible') return 'ok'
  return GENERATION_FAILED.has(reason) ? 'generation_probe_failed' : reason
}

/** The operator's word for what a generation probe would end with, where it is not our own. */
const GENERATION_WORDS: ReadonlyMap<string, string> = new Map<Reason, string>([
  ['probe_missed', 'timeout'],
  ['silent', 'timeout'],
  ['slow', 'timeout'],
  ['wedged', 'timeout'],
  ['invalid_response', 'parse_error'],
  ['truncated', 'parse_error'],
  ['not_probed_yet', 'unknown'],
  ['stale', 'unknown'],
])

/** The operator's word for what a generation probe at an upstream with this reason says. Pure. */
export function generationReason(reason: string): string {
  if (isReason(reason) && REASONS[reason].state === 'eligible') return 'ok'
  return GENERATION_WORDS.get(reason) ?? reason
}

/** What one probe of our own says in both vocabularies. Pure. */
export function reasonsOf(outcome: ProbeOutcome): { generation: string; reason: string } {
  return { generation: legacyProbeReason(outcome), reason: diagReason(reasonOf(outcome)) }
}

/** The reason that a gate would give after this one outcome. Pure. */
export function reasonOf(outcome: ProbeOutcome): string {
  switch (outcome.kind) {
    case 'pass':
      return 'ok'
    case 'embeds':
      return 'embeddings_only'
    case 'timeout':
      return 'wedged'
    case 'fail':
      return outcome.reason
    case 'cold':
      return 'model_not_loaded'
    // One refusal for load, or a probe that told nothing, leaves it unproven.
    case 'busy':
    case 'inconclusive':
      return 'not_probed_yet'
  }
}

function yes(value: boolean): 'yes' | 'no' {
  return value ? 'yes' : 'no'
}
