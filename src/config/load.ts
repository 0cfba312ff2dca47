import type { HealthPolicy } from '../core/health/policy.ts'
import type { StartSettings } from '../core/owned/process.ts'
import type { ModelGroup } from '../core/table.ts'
import { isLoopback } from '../runtime/address.ts'
import { didYouMean } from './known.ts'
import { meaningOf } from './names.ts'
import { type ReadFile, Reading } from './reading.ts'
import type { GlobalValues } from './settings.ts'
import {
  type ConfigIssue,
  type Env,
  type EnvFile,
  envFilePath,
  gather,
  type Setting,
} from './sources.ts'
import { quoted } from './types.ts'
import {
  listRefused,
  readList,
  readUpstream,
  refuseOwnListener,
  refuseTwins,
  type UpstreamConfig,
} from './upstreams.ts'
import { apiKeysFile, type Embedded } from './values.ts'

/** Everything that was configured, parsed once and frozen. What a row of the table names by its key stands
 *  here as it was read. */
export interface Config extends GlobalValues {
  /** Path of the env file that was read or would be. */
  readonly envFile: string
  /** In order of preference. */
  readonly upstreams: readonly UpstreamConfig[]
  readonly models: readonly ModelGroup[] | null
  readonly health: HealthPolicy
  /** `off`, `auto` (it may join: nothing else was configured), or the path of a GGUF. */
  readonly embedded: Embedded
  readonly apiKeys: readonly string[]
  /** Host names served besides loopback names and IP literals. */
  readonly allowedHosts: readonly string[]
  readonly allowedOrigins: readonly string[]
  readonly run: StartSettings
  readonly settings: readonly Setting[]
  /** Names that the env file sets but the process environment or a flag overrides with another
   *  value. */
  readonly shadowed: readonly string[]
  /** Settings of upstreams that are not listed: legal, and without effect. */
  readonly unused: readonly string[]
}

export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly issues: readonly ConfigIssue[] }

/** Everything that a configuration is made of. */
export interface LoadInput {
  readonly env: Env
  /** The env file (`envFilePath` says which); null: there is none. */
  readonly file: EnvFile | null
  /** `--upstream [name=]url`, as often as it was given. */
  readonly flags: {
    readonly upstreams: readonly string[]
    /** The upstream that `gengate run` starts: it is listed first, also where the list lacks it. */
    readonly first?: { readonly name: string; readonly url: string | null }
  }
  /** Reads a key file; null: it cannot be read. */
  readonly readFile: ReadFile
}

/** The name of the engine inside the gate, as an upstream. */
const EMBEDDED = 'embedded'

/**
 * Parses the whole configuration: flags over environment over file over defaults. Pure but for
 * `readFile`. Every issue is found, not only the first; with one issue there is no configuration.
 */
export function loadConfig(input: LoadInput): ConfigResult {
  const reading = new Reading(gather(input.env, input.file), input.readFile)
  const values = reading.globals()
  const { host, port, trustedBind } = values
  const listed = readList(reading, input.flags)
  const names = listed.map(({ name }) => name)
  const all = listed.flatMap((one) => readUpstream(reading, one) ?? [])
  refuseTwins(reading, all)
  if (!reading.refused('GENGATE_PORT') && !reading.refused('GENGATE_HOST')) {
    for (const upstream of all) refuseOwnListener(reading, upstream, { host, port })
  }
  const chosen = input.flags.upstreams.length > 0 || input.flags.first !== undefined
  const embedded = readEmbedded(reading, names, chosen)
  const upstreams = preferredFirst(reading, all, names)
  const apiKeys = readApiKeys(reading)
  refuseOpenBind(reading, host, apiKeys.length > 0 || trustedBind)
  const models = readModels(reading, embedded.mode === 'off' ? names : [...names, EMBEDDED])
  const unused = reading.names.toSorted().filter((name) => {
    const meaning = meaningOf(name)
    return meaning.kind === 'field' && !names.includes(meaning.upstream)
  })
  if (reading.issues.length > 0) return { ok: false, issues: reading.issues }
  const config: Config = {
    ...values,
    envFile: input.file?.path ?? envFilePath(input.env),
    upstreams,
    models,
    health: {
      detectWithinMs: reading.global('GENGATE_DETECT_WITHIN_MS'),
      intervalMs: reading.global('GENGATE_PROBE_INTERVAL_MS'),
      quietIntervalMs: reading.global('GENGATE_PROBE_QUIET_INTERVAL_MS'),
    },
    embedded,
    apiKeys,
    allowedHosts: reading.global('GENGATE_ALLOWED_HOSTS') ?? [],
    allowedOrigins: reading.global('GENGATE_ALLOWED_ORIGINS') ?? [],
    run: readRun(reading),
    settings: reading.settings(names, unused),
    shadowed: [...reading.shadowed].toSorted(),
    unused,
  }
  return { ok: true, config: deepFreeze(config) }
}

/** The keys that clients may use, of both settings. */
export function readApiKeys(reading: Reading): readonly string[] {
  const keys = reading.global('GENGATE_API_KEYS') ?? []
  const path = reading.global('GENGATE_API_KEYS_FILE')
  const more = path === null ? null : reading.takeFile('GENGATE_API_KEYS_FILE', apiKeysFile, path)
  return [...new Set([...keys, ...(more ?? [])])]
}

/** Refuses a listener that strangers can reach; `guarded`: a key is needed, or the operator vouches
 *  for the bind. */
function refuseOpenBind(reading: Reading, host: string, guarded: boolean): void {
  const doubtful = ['GENGATE_HOST', 'GENGATE_API_KEYS', 'GENGATE_API_KEYS_FILE']
  if (guarded || isLoopback(host) || doubtful.some((name) => reading.refused(name))) return
  reading.refuse(
    'GENGATE_HOST',
    `is ${quoted(host)}, which other machines can reach, and no API key is set. ` +
      'Set GENGATE_API_KEYS; or GENGATE_TRUSTED_BIND=1 if the port is published to 127.0.0.1 only.',
  )
}

function readRun(reading: Reading): StartSettings {
  return {
    model: reading.global('OPENCLAW_VLLM_MODEL') ?? reading.global('VLLM_MODEL'),
    host: reading.global('VLLM_HOST'),
    port: reading.global('VLLM_PORT'),
    venv: reading.global('VLLM_VENV'),
    python: reading.global('VLLM_PYTHON'),
    maxModelLen: reading.global('VLLM_MAX_MODEL_LEN'),
    dtype: reading.global('VLLM_DTYPE'),
    kvCacheSpace: reading.global('VLLM_CPU_KVCACHE_SPACE'),
    ompThreads: reading.global('OMP_NUM_THREADS'),
  }
}

/** `LOCAL_LLM_BACKEND` moves its upstream to the front; the others keep their order. */
function preferredFirst(
  reading: Reading,
  upstreams: readonly UpstreamConfig[],
  names: readonly string[],
): readonly UpstreamConfig[] {
  const preferred = reading.global('LOCAL_LLM_BACKEND')
  if (preferred === null) return upstreams
  if (!names.includes(preferred) && !listRefused(reading)) {
    const meant = didYouMean(preferred, names)
    const message = `must be one of the upstreams ${names.join(', ')}, not ${quoted(preferred)}.${meant}`
    reading.refuse('LOCAL_LLM_BACKEND', message)
  }
  return toFront(upstreams, ({ spec }) => spec.name === preferred)
}

function toFront<T>(list: readonly T[], isPreferred: (one: T) => boolean): readonly T[] {
  return [...list.filter(isPreferred), ...list.filter((one) => !isPreferred(one))]
}

/** `auto` means that it may join, which it may not where an upstream was chosen by hand. */
function readEmbedded(
  reading: Reading,
  names: readonly string[],
  byFlag: boolean,
): Config['embedded'] {
  const embedded = reading.global('GENGATE_EMBEDDED')
  if (embedded.mode === 'path' && names.includes(EMBEDDED)) {
    const message = `is a path, which makes an upstream called ${EMBEDDED}; rename the listed one.`
    reading.refuse('GENGATE_EMBEDDED', message)
  }
  if (embedded.mode !== 'auto') return embedded
  const chosen = reading.names.some((name) => {
    const meaning = meaningOf(name)
    return name === 'GENGATE_UPSTREAMS' || (meaning.kind === 'field' && meaning.field === 'URL')
  })
  return chosen || byFlag ? { mode: 'off' } : embedded
}

/** The order within a group is the operator's; `LOCAL_LLM_BACKEND` comes first there, too. */
function readModels(reading: Reading, names: readonly string[]): Config['models'] {
  const models = reading.global('GENGATE_MODELS')
  if (listRefused(reading)) return models
  const unknown = new Set(
    (models ?? [])
      .flatMap(({ members }) => members.map(({ upstream }) => upstream))
      .filter((upstream) => !names.includes(upstream)),
  )
  for (const upstream of unknown) {
    const meant = didYouMean(upstream, names)
    const message = `names ${quoted(upstream)}, which is not one of the upstreams ${names.join(', ')}.${meant}`
    reading.refuse('GENGATE_MODELS', message)
  }
  const preferred = reading.global('LOCAL_LLM_BACKEND')
  if (models === null || preferred === null) return models
  return models.map((group) => ({
    ...group,
    members: toFront(group.members, ({ upstream }) => upstream === preferred),
  }))
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) deepFreeze(inner)
  }
  return value
}
