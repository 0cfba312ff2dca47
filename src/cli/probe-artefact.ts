import { isoTime } from '../runtime/clock.ts'
import { legacyProbeReason, outcomeLabel, type ProbeOutcome } from '../core/health/evidence.ts'
import { REASONS } from '../core/health/reason.ts'
import type { EngineKind } from '../core/upstream.ts'
import { type GateRefusal, refusalText } from './gate-refusal.ts'

/** Whom a probe asks. */
export interface ProbeTarget {
  /** Name of the configured upstream; null: an address that somebody gave. */
  readonly upstream: string | null
  readonly engine: EngineKind
  /** Without `/v1`. */
  readonly url: string
  readonly model: string | null
  readonly apiKey: string | null
}

/** What one probe found. */
export interface ProbeFinding {
  readonly target: ProbeTarget
  /** Model names that it lists; null: the listing failed. */
  readonly models: readonly string[] | null
  readonly outcome: ProbeOutcome
  /** A gate's own refusal, which says more than the outcome; absent: none came. */
  readonly refusal?: GateRefusal
  /** When it ended, wall-clock ms. */
  readonly endedAtMs: number
}

/** Version of the artefact's fields: they are added, never changed. */
const ARTEFACT_VERSION = 1

/**
 * The status artefact that operators' scripts read (`type: "vllm_status"`), with our fields after
 * theirs. No key stands in it. Pure.
 */
export function probeArtefact(finding: ProbeFinding): Record<string, unknown> {
  const { target, models, outcome, refusal } = finding
  const generates = outcome.kind === 'pass'
  return {
    version: ARTEFACT_VERSION,
    type: 'vllm_status',
    ts: isoTime(finding.endedAtMs),
    base_url: `${target.url}/v1`,
    healthy: models !== null,
    models: models ?? [],
    inference_ok: generates,
    generation_probe_ok: generates,
    generation_probe_reason: legacyProbeReason(outcome),
    error: generates ? null : whatFailed(outcome, refusal),
    upstream: target.upstream,
    engine: target.engine,
    latency_ms: generates ? Math.round(outcome.latencyMs) : null,
    tokens: generates ? outcome.tokens : null,
    outcome: findingLabel(finding),
    hint: generates ? null : adviceOf(outcome, finding),
  }
}

/** The outcome in one word: a gate's own code where it refused, else that of the probe. Pure. */
export function findingLabel({ outcome, refusal }: ProbeFinding): string {
  return refusal?.code ?? outcomeLabel(outcome)
}

/** One artefact for the first, and all of them under `upstreams` when several were asked. Pure. */
export function probeDocument(findings: readonly ProbeFinding[]): Record<string, unknown> {
  const artefacts = findings.map(probeArtefact)
  const [first = {}] = artefacts
  return artefacts.length > 1 ? { ...first, upstreams: artefacts } : first
}

/** One readable line: verdict, whom, where, what. Pure. */
export function probeLine({ target, models, outcome, refusal }: ProbeFinding): string {
  const name = target.upstream === null ? '' : `${target.upstream}  `
  const head = `${outcome.kind === 'pass' ? 'ok' : 'fail'}  ${name}${target.url}/v1  `
  if (outcome.kind !== 'pass')
    return `${head}${whatFailed(outcome, refusal)} ${adviceOf(outcome, { target, refusal })}`.trimEnd()
  const tokens = outcome.tokens === 1 ? '1 token' : `${outcome.tokens} tokens`
  const listed = models === null || models.length === 0 ? 'none listed' : models.join(', ')
  return `${head}generated ${tokens} in ${Math.round(outcome.latencyMs)} ms (models: ${listed})`
}

/** The gate's message has named the reasons already. */
const GATE_HINT = '`gengate status` shows more.'

/** What went wrong, in one sentence; a gate's own words where it refused. */
function whatFailed(
  outcome: Exclude<ProbeOutcome, { kind: 'pass' }>,
  refusal: GateRefusal | undefined,
): string {
  if (refusal !== undefined) return refusalText(refusal)
  switch (outcome.kind) {
    case 'embeds':
      return 'embeddings_only: it embeds and generates nothing.'
    case 'timeout':
      return `timeout: nothing was generated within ${outcome.limitMs / 1000} s.`
    case 'busy':
      return `busy: it refuses for load (${outcome.detail}).`
    case 'cold':
      return 'model_not_loaded: no model is in memory.'
    case 'inconclusive':
      return `inconclusive: ${outcome.detail}.`
    case 'fail':
      return `${outcome.reason}: ${outcome.detail}.`
  }
}

/** What to do about it; a gate that refused has told it. */
function adviceOf(
  outcome: Exclude<ProbeOutcome, { kind: 'pass' }>,
  { target, refusal }: { readonly target: ProbeTarget; readonly refusal?: GateRefusal | undefined },
): string {
  return refusal === undefined ? hintFor(outcome, target) : GATE_HINT
}

/** What to do about it, from the table of reasons. */
function hintFor(
  outcome: Exclude<ProbeOutcome, { kind: 'pass' }>,
  { upstream }: ProbeTarget,
): string {
  switch (outcome.kind) {
    case 'embeds':
      return REASONS.embeddings_only.hint
    case 'timeout':
      return 'It is wedged, or slower than --timeout: try a longer one, else restart the engine.'
    case 'busy':
      return 'Try again when it has less to do.'
    case 'cold':
      return 'The first request loads it.'
    case 'inconclusive':
      return ''
    case 'fail':
      return REASONS[outcome.reason].hint.replaceAll(
        '<NAME>',
        upstream === null ? '<NAME>' : upstream.toUpperCase(),
      )
  }
}
