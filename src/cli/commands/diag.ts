import { legacyProbeReason, type ProbeOutcome } from '../../core/health/evidence.ts'
import { REASONS, type Reason } from '../../core/health/reason.ts'
import { idsOf } from '../../core/model/model-choice.ts'
import { type CommandSpec, ENV_FILE, withGate, type World } from '../command.ts'
import { ask, askGate, listedIn, ownGate, type Place } from '../gate-client.ts'
import { type GateStatus, isReason } from '../gate-status.ts'
import { type CliIo, EXIT } from '../io.ts'
import type { Askable, ConfigFlags } from '../load.ts'
import { probeOnce, type ProbeOnce, type ProbeTarget } from '../probe-once.ts'
import { targetOf, targetOfClients, targetOfGate } from '../targets.ts'

export const diag: CommandSpec = {
  name: 'diag',
  summary: 'print the diagnosis that scripts read; no secrets',
  examples: `Examples:
  gengate diag
  gengate diag | grep '^local_vllm:'`,
  options: [ENV_FILE],
  run: (_args: readonly [], flags: ConfigFlags, { io }: World) =>
    withGate(io, flags, (gate) =>
      diagnose(gate, {
        io,
        probeOnce: (target, timeoutMs) => probeOnce(target, timeoutMs, io.clock),
        clients: targetOfClients(io.env) ?? targetOfGate(gate),
      }),
    ),
}

/** What `diag` needs of its surroundings. */
interface DiagDeps {
  readonly io: CliIo
  readonly probeOnce: ProbeOnce
  /** Where clients send their requests, for when no gate runs; a text: why that cannot be told. */
  readonly clients: ProbeTarget | string
}

const MODELS_LIMIT_MS = 3_000
/** The limit of the operator's older probe. */
const PROBE_TIMEOUT_MS = 5_000

/** Prints the lines of `diag`: the running gate's knowledge, or else what probes of our own find
 *  now. Exit 0 when eligible, else 1. */
export async function diagnose(
  config: Askable,
  { io, probeOnce: probe, clients }: DiagDeps,
): Promise<number> {
  const answer = await askGate(ownGate(config), io)
  if (answer.kind !== 'status') io.err(`gengate: ${answer.message}`)
  if (typeof clients === 'string') {
    io.err(`gengate: ${clients}`)
    return EXIT.usage
  }
  const found =
    answer.kind === 'status'
      ? await askedGate(answer.status, config, io)
      : await fromProbes(config, clients, probe)
  for (const line of diagLines(found)) io.out(line)
  return found.eligible ? EXIT.ok : EXIT.failed
}

/**
 * The running gate's knowledge. It lists no models while nothing is servable; then the engines are asked
 * themselves, since one that still lists models and generates nothing is what operators look for.
 */
async function askedGate(status: GateStatus, config: Askable, io: CliIo): Promise<Diagnosis> {
  const listed = await modelsAt(ownGate(config), io)
  const found = fromGate(status, listed?.length ?? null, config)
  if (listed !== null) return found
  const lists = await Promise.all(
    status.upstreams
      .filter(({ intent, url }) => intent === 'enabled' && url !== '')
      .map(({ name, url }) => {
        const own = config.upstreams.find(({ spec }) => spec.name === name)
        return modelsAt({ url: own?.spec.url ?? url, apiKey: own?.apiKey ?? null }, io)
      }),
  )
  const known = lists.filter((list) => list !== null).flat()
  return lists.some((list) => list !== null) ? { ...found, models: new Set(known).size } : found
}

/** Names of the models that this server lists; null: it does not. */
async function modelsAt(place: Place, { clock }: CliIo): Promise<readonly string[] | null> {
  return idsOf(listedIn(await ask(place, '/v1/models', { clock, limitMs: MODELS_LIMIT_MS })))
}

/**
 * The diagnosis by a running gate. As a whole it is eligible while it is servable, which is when
 * it lists models; the reason is then that of the best upstream it has, else that of the first
 * one that the operator wants. Pure.
 */
function fromGate(status: GateStatus, models: number | null, config: Askable): Diagnosis {
  const enabled = status.upstreams.filter(({ intent }) => intent === 'enabled')
  const proven = enabled.find(({ eligible }) => eligible)
  const servable = models !== null
  const shown =
    proven ??
    (servable ? enabled.find(({ state }) => state === 'cold' || state === 'suspect') : undefined) ??
    enabled[0]
  const reason = shown?.reason ?? 'no_upstream_enabled'
  return {
    endpointPresent: true,
    models,
    generationOk: proven !== undefined,
    generationReason: shown === undefined ? 'unknown' : generationReason(reason),
    eligible: servable,
    reason: diagReason(reason),
    upstreams: status.upstreams.map((row) => {
      const keys = config.upstreams.find(({ spec }) => spec.name === row.name)?.apiKeyNames
      return upstreamLine({ ...row, enabled: row.intent === 'enabled' }, keys ?? [])
    }),
  }
}

/** The diagnosis without a gate: only what clients really reach counts as eligible. */
async function fromProbes(
  config: Askable,
  client: ProbeTarget,
  probe: ProbeOnce,
): Promise<Diagnosis> {
  const [{ outcome, models }, upstreams] = await Promise.all([
    probe(client, PROBE_TIMEOUT_MS),
    Promise.all(
      config.upstreams.map(async (one) => {
        const { outcome: ended } = await probe(targetOf(one), PROBE_TIMEOUT_MS)
        const { name, intent } = one.spec
        const enabled = intent === 'enabled'
        const eligible = enabled && ended.kind === 'pass'
        const reason = enabled ? reasonOf(ended) : intent
        return upstreamLine({ name, enabled, eligible, reason }, one.apiKeyNames)
      }),
    ),
  ])
  const words = reasonsOf(outcome)
  const connected = outcome.kind !== 'fail' || !NO_CONNECTION.has(outcome.reason)
  return {
    endpointPresent: models !== null || connected,
    models: models?.length ?? null,
    generationOk: outcome.kind === 'pass',
    generationReason: words.generation,
    eligible: outcome.kind === 'pass',
    reason: words.reason,
    upstreams,
  }
}

const NO_CONNECTION: ReadonlySet<string> = new Set(['refused', 'unreachable'])

/** What `diag` found out. */
interface Diagnosis {
  /** Does anything answer where clients send their requests? */
  readonly endpointPresent: boolean
  /** How many models it lists; null: the listing failed. */
  readonly models: number | null
  readonly generationOk: boolean
  /** In the operator's words: `ok`, `timeout`, `http_500`, … */
  readonly generationReason: string
  readonly eligible: boolean
  readonly reason: string
  /** A line for each. */
  readonly upstreams: readonly string[]
}

/** The secret-safe lines that operators' scripts read. Pure. */
function diagLines(found: Diagnosis): string[] {
  return [
    `local_vllm_endpoint_present=${found.endpointPresent}`,
    `local_vllm_models_fetch_ok=${found.models !== null}`,
    `local_vllm_models_count=${found.models ?? 0}`,
    `local_vllm_generation_probe_ok=${found.generationOk}`,
    `local_vllm_generation_probe_reason=${found.generationReason}`,
    `local_vllm: eligible=${yes(found.eligible)} reason=${found.reason}`,
    ...found.upstreams,
  ]
}

/** One upstream. `keys`: names of its env keys, never values. */
function upstreamLine(
  one: { name: string; enabled: boolean; eligible: boolean; reason: string },
  keys: readonly string[],
): string {
  const { name, enabled, eligible, reason } = one
  return (
    `- ${name}: configured=yes enabled=${yes(enabled)} eligible=${yes(eligible)}` +
    ` reason=${diagReason(reason)} auth_env_keys=${keys.join(',') || 'none'}`
  )
}

/** Reasons that say "asked to generate, it did not": one word in the operator's world. */
const GENERATION_FAILED: ReadonlySet<Reason> = new Set<Reason>([
  'probe_missed',
  'silent',
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
  return outcome.kind === 'fail' ? outcome.reason : REASON_OF[outcome.kind]
}

const REASON_OF = {
  pass: 'ok',
  embeds: 'embeddings_only',
  timeout: 'wedged',
  cold: 'model_not_loaded',
  // One refusal for load, or a probe that told nothing, leaves it unproven.
  busy: 'not_probed_yet',
  inconclusive: 'not_probed_yet',
} as const satisfies Record<Exclude<ProbeOutcome['kind'], 'fail'>, Reason>

function yes(value: boolean): 'yes' | 'no' {
  return value ? 'yes' : 'no'
}
