import { listedModels } from '../../engines/model-list.ts'
import { ask, succeeded } from '../ask.ts'
import {
  type Diagnosis,
  diagLines,
  diagReason,
  type DiagUpstream,
  generationReason,
  reasonOf,
  reasonsOf,
} from '../diag-lines.ts'
import { askGate, noStatusMessage, ownGate } from '../gate-client.ts'
import type { GateStatus } from '../gate-status.ts'
import { type CliIo, EXIT } from '../io.ts'
import type { Askable } from '../load.ts'
import type { ProbeOnce } from './probe.ts'
import { type Targets, targetsOfNames } from '../probe-targets.ts'

/** What `diag` needs of its surroundings. */
export interface DiagDeps {
  readonly io: CliIo
  readonly probeOnce: ProbeOnce
  /** Where clients send their requests, for when no gate runs. */
  readonly clients: Targets
}

const MODELS_LIMIT_MS = 3_000
/** The limit of the operator's older probe. */
const PROBE_TIMEOUT_MS = 5_000

/** Prints the lines of `diag`: the running gate's knowledge, or else what probes of our own find
 *  now. Exit 0 when eligible, else 1. */
export async function diag(config: Askable, deps: DiagDeps): Promise<number> {
  const { io } = deps
  const { origin, apiKey } = ownGate(config)
  const answer = await askGate(origin, apiKey, io)
  if (answer.kind !== 'status') io.err(`gengate: ${noStatusMessage(origin, answer)}`)
  if (!deps.clients.ok) {
    io.err(`gengate: ${deps.clients.message}`)
    return EXIT.usage
  }
  const found =
    answer.kind === 'status'
      ? await askedGate(answer.status, config, io)
      : await fromProbes(config, deps)
  for (const line of diagLines(found)) io.out(line)
  return found.eligible ? EXIT.ok : EXIT.failed
}

/**
 * The running gate's knowledge. It lists no models while nothing is servable; then the engines are asked
 * themselves, since one that still lists models and generates nothing is what operators look for.
 */
async function askedGate(status: GateStatus, config: Askable, io: CliIo): Promise<Diagnosis> {
  const { origin, apiKey } = ownGate(config)
  const listed = await modelsAt(origin, apiKey, io)
  const found = fromGate(status, listed?.length ?? null, config)
  if (listed !== null) return found
  const lists = await Promise.all(
    status.upstreams
      .filter(({ intent, url }) => intent === 'enabled' && url !== '')
      .map(({ name, url }) => {
        const own = config.upstreams.find(({ spec }) => spec.name === name)
        return modelsAt(own?.spec.url ?? url, own?.apiKey ?? null, io)
      }),
  )
  const known = lists.filter((list) => list !== null).flat()
  return lists.some((list) => list !== null) ? { ...found, models: new Set(known).size } : found
}

/** Names of the models that this server lists; null: it does not. */
async function modelsAt(
  origin: string,
  apiKey: string | null,
  { clock }: CliIo,
): Promise<readonly string[] | null> {
  const reply = await ask(origin, '/v1/models', { clock, limitMs: MODELS_LIMIT_MS, apiKey })
  return succeeded(reply) ? (listedModels(reply.body)?.map(({ id }) => id) ?? null) : null
}

/**
 * The diagnosis by a running gate. As a whole it is eligible while it is servable, which is when
 * it lists models; the reason is then that of the best upstream it has, else that of the first
 * one that the operator wants. Pure.
 */
export function fromGate(status: GateStatus, models: number | null, config: Askable): Diagnosis {
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
    upstreams: status.upstreams.map((row) => ({
      name: row.name,
      enabled: row.intent === 'enabled',
      eligible: row.eligible,
      reason: row.reason,
      authEnvKeys: keysOf(config, row.name),
    })),
  }
}

/** The diagnosis without a gate: only what clients really reach counts as eligible. */
async function fromProbes(config: Askable, deps: DiagDeps): Promise<Diagnosis> {
  const named = targetsOfNames([], config)
  const upstreams = named.ok ? named.targets : []
  const [client] = deps.clients.ok ? deps.clients.targets : []
  const targets = client === undefined ? upstreams : [client, ...upstreams]
  const findings = await Promise.all(
    targets.map((target) => deps.probeOnce(target, PROBE_TIMEOUT_MS)),
  )
  const endpoint = findings.find(({ target }) => target === client)
  const outcome = endpoint?.outcome ?? { kind: 'inconclusive', detail: 'not asked' }
  const words = reasonsOf(outcome)
  const connected = outcome.kind !== 'fail' || !NO_CONNECTION.has(outcome.reason)
  return {
    endpointPresent: endpoint !== undefined && (endpoint.models !== null || connected),
    models: endpoint?.models?.length ?? null,
    generationOk: outcome.kind === 'pass',
    generationReason: words.generation,
    eligible: outcome.kind === 'pass',
    reason: words.reason,
    upstreams: config.upstreams.map(({ spec }): DiagUpstream => {
      const found = findings.find(({ target }) => target.upstream === spec.name)
      const enabled = spec.intent === 'enabled'
      const reason = found === undefined ? 'not_probed_yet' : reasonOf(found.outcome)
      return {
        name: spec.name,
        enabled,
        eligible: enabled && found?.outcome.kind === 'pass',
        reason: enabled ? reason : spec.intent,
        authEnvKeys: keysOf(config, spec.name),
      }
    }),
  }
}

const NO_CONNECTION: ReadonlySet<string> = new Set(['refused', 'unreachable'])

function keysOf(config: Askable, name: string): readonly string[] {
  return config.upstreams.find(({ spec }) => spec.name === name)?.apiKeyNames ?? []
}
