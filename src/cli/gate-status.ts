import { type ListedModel, type OtherWork, plainModel } from '../core/model/listed-model.ts'
import { REASONS, type Reason } from '../core/health/reason.ts'
import type { ModelGroup, RoutingPolicy } from '../core/table.ts'
import {
  type ColdPolicy,
  ENGINE_KINDS,
  type EngineKind,
  type Intent,
  type ProbeMode,
  type SwapPolicy,
} from '../core/upstream.ts'
import type { WorkVerdict } from '../core/health/judge.ts'
import { isObject } from '../api/read.ts'
import { type EngineStatus, parseProcess } from './process-status.ts'

/** One upstream as the running gate shows it; the fields that the command line reads. */
export interface UpstreamStatus {
  readonly name: string
  readonly engine: EngineKind
  readonly url: string
  readonly intent: Intent
  readonly eligible: boolean
  readonly state: string
  readonly reason: string
  /** ISO time, or null. */
  readonly since: string | null
  readonly hint: string
  /** What the engine said to a probe; null: nothing, or an older gate. */
  readonly said: string | null
  /** Has it ever generated? */
  readonly proven: boolean
  /** How it stands to work other than generation, and the kinds that it has done before. */
  readonly works: Readonly<Record<OtherWork, WorkVerdict>>
  readonly done: readonly OtherWork[]
  /** Is it tried by one request at a time? */
  readonly halfOpen: boolean
  /** When it came back from its last ejection, ISO time, or null. */
  readonly admittedAt: string | null
  readonly inFlight: number
  readonly models: readonly string[]
  /** Did it list them itself? */
  readonly modelsListed: boolean
  /** The same with what is known of each. */
  readonly details: readonly ListedModel[]
  /** In memory now, and when it said so; null: it does not tell. */
  readonly loaded: readonly string[] | null
  readonly loadedAt: string | null
  /** Models that were seen to generate; the newest last. */
  readonly provenModels: readonly { readonly name: string; readonly at: string | null }[]
  readonly swaps: SwapPolicy
  /** What the operator chose; null: nothing. */
  readonly model: string | null
  readonly probe: ProbeMode
  readonly cold: ColdPolicy
  /** Nothing is in memory there, and it loads nothing for a request. */
  readonly loadsNothing: boolean
  readonly maxConcurrency: number | null
  /** The process of its engine; null: the gate does not own it. */
  readonly process: EngineStatus | null
}

/** `GET /gate/status`: fields are added, never changed (docs/decisions/0022); others are ignored. */
export interface GateStatus {
  readonly version: string
  readonly uptimeS: number
  readonly draining: boolean
  readonly policy: RoutingPolicy
  readonly groups: readonly ModelGroup[] | null
  readonly configError: string | null
  readonly shadowed: readonly string[]
  readonly upstreams: readonly UpstreamStatus[]
}

const INTENTS: readonly Intent[] = ['enabled', 'draining', 'disabled']
const PROBE_MODES: readonly ProbeMode[] = ['active', 'passive', 'off']
const COLD_POLICIES: readonly ColdPolicy[] = ['on_demand', 'never']
const SWAP_POLICIES: readonly SwapPolicy[] = ['auto', 'yes', 'no']
const WORKS: readonly OtherWork[] = ['embedding', 'rerank']
const USES: readonly NonNullable<ListedModel['work']>[] = [...WORKS, 'generation', 'other']
const VERDICTS: readonly WorkVerdict[] = ['proven', 'unproven', 'failing']
const POLICIES: readonly RoutingPolicy[] = ['priority', 'least_busy']

/** Parses the document; null: whoever answered is no gengate. What an older or newer gate says
 *  otherwise becomes the default of the setting. Pure. */
export function parseGateStatus(document: unknown): GateStatus | null {
  if (!isObject(document)) return null
  const { version, uptime_s: uptimeS, config, upstreams } = document
  if (typeof version !== 'string' || typeof uptimeS !== 'number') return null
  if (!Array.isArray(upstreams)) return null
  return {
    version,
    uptimeS,
    draining: document['draining'] === true,
    policy: wordOf(document['policy'], POLICIES) ?? 'priority',
    groups: parseGroups(document['groups']),
    configError: isObject(config) ? textOf(config, 'error') : null,
    shadowed: isObject(config) ? strings(config['shadowed']) : [],
    upstreams: upstreams.flatMap((row) => parseUpstream(row) ?? []),
  }
}

function parseUpstream(row: unknown): UpstreamStatus | null {
  const name = isObject(row) ? textOf(row, 'name') : null
  if (!isObject(row) || name === null) return null
  const models = strings(row['models'])
  const { models_listed: listed, in_flight: inFlight, max_concurrency: cap } = row
  return {
    name,
    engine: wordOf(row['engine'], ENGINE_KINDS) ?? 'openai',
    url: textOf(row, 'url') ?? '',
    intent: wordOf(row['intent'], INTENTS) ?? 'enabled',
    eligible: row['eligible'] === true,
    state: textOf(row, 'state') ?? 'unknown',
    reason: textOf(row, 'reason') ?? 'not_probed_yet',
    since: textOf(row, 'since'),
    hint: textOf(row, 'hint') ?? '',
    said: textOf(row, 'said'),
    works: { embedding: workOf(row, 'embedding'), rerank: workOf(row, 'rerank') },
    done: WORKS.filter((work) => isDone(row, work)),
    halfOpen: row['half_open'] === true,
    admittedAt: textOf(row, 'admitted_at'),
    proven: textOf(row, 'last_generation_at') !== null,
    inFlight: typeof inFlight === 'number' ? inFlight : 0,
    models,
    modelsListed: typeof listed === 'boolean' ? listed : models.length > 0,
    details: detailsOf(row['model_details'], models),
    loaded: Array.isArray(row['loaded']) ? strings(row['loaded']) : null,
    loadedAt: textOf(row, 'loaded_at'),
    provenModels: records(row['proven_models']).flatMap((one) => {
      const model = textOf(one, 'name')
      return model === null ? [] : [{ name: model, at: textOf(one, 'at') }]
    }),
    swaps: wordOf(row['swaps'], SWAP_POLICIES) ?? 'auto',
    model: textOf(row, 'model'),
    probe: wordOf(row['probe'], PROBE_MODES) ?? 'active',
    cold: wordOf(row['cold'], COLD_POLICIES) ?? 'on_demand',
    loadsNothing: row['loads_nothing'] === true,
    maxConcurrency: typeof cap === 'number' ? cap : null,
    process: parseProcess(row['process']),
  }
}

function workOf(row: Readonly<Record<string, unknown>>, work: OtherWork): WorkVerdict {
  const works = row['works']
  return (isObject(works) ? wordOf(works[work], VERDICTS) : null) ?? 'unproven'
}

function isDone(row: Readonly<Record<string, unknown>>, work: OtherWork): boolean {
  const done = row['last_done_at']
  return isObject(done) && textOf(done, work) !== null
}

/** An older gate tells the names alone. */
function detailsOf(value: unknown, names: readonly string[]): readonly ListedModel[] {
  if (!Array.isArray(value)) return names.map(plainModel)
  return records(value).flatMap((row): ListedModel[] => {
    const id = textOf(row, 'id')
    if (id === null) return []
    const bytes = row['size_bytes']
    return [
      {
        id,
        aliases: strings(row['aliases']),
        work: wordOf(row['work'], USES),
        local: row['local'] !== false,
        sizeBytes: typeof bytes === 'number' ? bytes : null,
        fields: { owned_by: row['owned_by'] },
      },
    ]
  })
}

function records(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

function parseGroups(value: unknown): ModelGroup[] | null {
  if (!Array.isArray(value)) return null
  return value.flatMap((group: unknown) => {
    const name = isObject(group) ? textOf(group, 'public') : null
    if (!isObject(group) || name === null || !Array.isArray(group['members'])) return []
    const members = group['members'].flatMap((member: unknown) => {
      const upstream = isObject(member) ? textOf(member, 'upstream') : null
      const model = isObject(member) ? textOf(member, 'model') : null
      return upstream === null || model === null ? [] : [{ upstream, model }]
    })
    return [{ public: name, members }]
  })
}

function wordOf<Word extends string>(value: unknown, words: readonly Word[]): Word | null {
  return words.find((word) => word === value) ?? null
}

function strings(value: unknown): string[] {
  if (!Array.isArray(value)) return []
  return value.flatMap((item: unknown) => (typeof item === 'string' ? [item] : []))
}

function textOf(record: Readonly<Record<string, unknown>>, key: string): string | null {
  const value = record[key]
  return typeof value === 'string' ? value : null
}

/** Is this a reason of ours? A newer gate may know more. */
export function isReason(word: string): word is Reason {
  return Object.hasOwn(REASONS, word)
}

/** Does the document show it as servable: eligible, cold on demand, suspect, or unproven where nobody
 *  probes? Pure. */
export function isServable(upstream: UpstreamStatus): boolean {
  const { eligible, state, cold, probe, process } = upstream
  if (eligible || state === 'suspect' || process?.startOnDemand === true) return true
  const empty = upstream.loadsNothing || (upstream.modelsListed && upstream.models.length === 0)
  if (state === 'cold') return cold === 'on_demand' && !empty
  return state === 'unknown' && probe === 'passive'
}
