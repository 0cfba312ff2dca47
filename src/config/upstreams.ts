import type { EngineKind, UpstreamSpec } from '../core/upstream.ts'
import { engineOf, quirksOf } from '../engines/index.ts'
import { type Listener, leadsTo } from '../runtime/address.ts'
import { defaultUrl, didYouMean, KNOWN_NAMES, nameFor } from './known.ts'
import { variableOf } from './names.ts'
import type { Reading } from './reading.ts'
import type { Source } from './sources.ts'
import { quoted } from './types.ts'
import type { FieldValues } from './upstream-settings.ts'
import { apiKeyFile, type ListedUpstream, upstreamFlag } from './values.ts'

/** An upstream as configured: its spec, and the secret that only connections may see. */
export interface UpstreamConfig extends Omit<FieldValues, keyof UpstreamSpec> {
  readonly spec: UpstreamSpec
  /** Sent to that upstream only. */
  readonly apiKey: string | null
  /** Names (never values) of env keys that hold its key, for `diag`. */
  readonly apiKeyNames: readonly string[]
}

/** A listed upstream, and where the list stands. */
interface Listed {
  readonly name: string
  readonly url: string | null
  readonly source: Source
}

const FLAG = '--upstream'
const LIST = 'GENGATE_UPSTREAMS'
const RANK: Readonly<Record<Source, number>> = { default: 0, file: 1, env: 2, flag: 3 }

/** Was the list understood? If not, nothing can be said about names that it lacks. */
export function listRefused(reading: Reading): boolean {
  return reading.refused(LIST) || reading.refused(FLAG)
}

interface ListFlags {
  readonly upstreams: readonly string[]
  readonly first?: { readonly name: string; readonly url: string | null }
}

/** The upstreams that are listed, in order, without duplicates. */
export function readList(reading: Reading, { upstreams: flags, first }: ListFlags): Listed[] {
  const source = flags.length > 0 ? 'flag' : reading.sourceOf(LIST)
  const entries = flags.length > 0 ? readFlags(reading, flags) : reading.global(LIST)
  if (source === 'flag' && reading.sourceOf(LIST) === 'file') reading.shadowed.add(LIST)
  const named = new Set(entries.flatMap((entry) => entry.name ?? []))
  const listed: Listed[] = first === undefined ? [] : [{ ...first, source: 'flag' }]
  for (const entry of entries) {
    if (entry.name !== null && entry.name === first?.name) {
      // Its place is first; the URL that the list gives it counts unless another was named.
      if (first.url === null) listed[0] = { ...entry, source }
      continue
    }
    const { url } = entry
    const name = entry.name === null ? nameFor(entry.url, named) : entry.name
    named.add(name)
    if (listed.some((other) => other.name === name)) {
      const where = source === 'flag' ? FLAG : LIST
      reading.refuse(where, `lists ${quoted(name)} twice. Give each upstream its own name.`)
    } else listed.push({ name, url, source })
  }
  reading.show(LIST, listed.map(({ name }) => name).join(','), source)
  return listed
}

function readFlags(reading: Reading, flags: readonly string[]): ListedUpstream[] {
  return flags.flatMap((flag) => reading.take(FLAG, upstreamFlag, flag) ?? [])
}

/** One upstream with everything that is set for it; null: it has no usable URL. */
export function readUpstream(reading: Reading, listed: Listed): UpstreamConfig | null {
  const { name } = listed
  const engine = reading.field(name, 'ENGINE') ?? engineOf(name)
  const variable = variableOf(name, 'ENGINE')
  reading.show(variable, engine, reading.sourceOf(variable))
  const url = readUrl(reading, listed, engine)
  const key = readKey(reading, name)
  if (url === null) return null
  const quietMs = reading.global('GENGATE_PROBE_QUIET_INTERVAL_MS')
  // What is not of its engine alone is for routing: `UpstreamSpec` has it.
  const { gguf, run, idleStopMs, ...routed } = reading.fields(name)
  const own = { gguf, run, idleStopMs }
  const quietIntervalMs = Math.max(quietMs, quirksOf(engine).quietIntervalMs)
  const spec = { name, engine, url, model: readModel(reading, name), ...routed, quietIntervalMs }
  refuseHalfOwned(reading, spec, own)
  return { spec, ...key, ...own }
}

/** What the gate must know to own an engine, and what goes together with that. */
function refuseHalfOwned(
  reading: Reading,
  { name, probe, cold }: UpstreamSpec,
  { run, idleStopMs }: Pick<UpstreamConfig, 'run' | 'idleStopMs'>,
): void {
  const variable = variableOf(name, 'RUN')
  const idle = variableOf(name, 'IDLE_STOP_MS')
  if (run !== null && probe !== 'active') {
    const probing = variableOf(name, 'PROBE')
    reading.refuse(
      variable,
      `needs ${probing}=active: only a probe tells that it is wedged or back.`,
    )
  }
  if (idleStopMs === null) return
  if (run === null && !reading.refused(variable)) {
    reading.refuse(idle, `needs ${variable}: only what the gate starts can be stopped.`)
  }
  if (cold === 'never') {
    const setting = variableOf(name, 'COLD')
    reading.refuse(idle, `does not go with ${setting}=never: then nothing could start it again.`)
  }
}

/** Its own setting; for the engines of the operators' older world also the names used there. */
function readModel(reading: Reading, name: string): string | null {
  const own = reading.field(name, 'MODEL')
  if (own !== null || !name.startsWith('vllm_')) return own
  return reading.global('OPENCLAW_VLLM_MODEL') ?? reading.global('VLLM_MODEL')
}

/** `name=url` in the list and `_URL` mean the same; of two that differ the higher source wins. */
function readUrl(reading: Reading, listed: Listed, engine: EngineKind): string | null {
  const variable = variableOf(listed.name, 'URL')
  if (reading.refused(variable)) return null
  const own = reading.field(listed.name, 'URL')
  const ownSource = reading.sourceOf(variable)
  if (own === null) {
    const url = listed.url ?? defaultUrl(listed.name, engine)
    if (url === null) {
      const meant = didYouMean(listed.name, KNOWN_NAMES)
      reading.refuse(variable, `must be set: upstream ${listed.name} has no default URL.${meant}`)
      return null
    }
    reading.show(variable, url, listed.url === null ? 'default' : listed.source)
    return url
  }
  reading.show(variable, own, ownSource)
  if (listed.url === null || listed.url === own) return own
  const listWins = RANK[listed.source] > RANK[ownSource]
  if (listed.source === ownSource) {
    reading.refuse(variable, `differs from the URL of ${listed.name} in ${LIST}. Keep one of them.`)
  }
  const [lower, source] = listWins ? [variable, ownSource] : [LIST, listed.source]
  if (source === 'file' && listed.source !== ownSource) reading.shadowed.add(lower)
  if (listWins) reading.show(variable, listed.url, listed.source)
  return listWins ? listed.url : own
}

/** Its key, from the variable or the file; of both the higher source wins. */
function readKey(reading: Reading, name: string): Pick<UpstreamConfig, 'apiKey' | 'apiKeyNames'> {
  const variable = variableOf(name, 'API_KEY')
  const fileVariable = variableOf(name, 'API_KEY_FILE')
  const key = reading.field(name, 'API_KEY')
  const path = reading.field(name, 'API_KEY_FILE')
  const keyRank = RANK[reading.sourceOf(variable)]
  const fileRank = RANK[reading.sourceOf(fileVariable)]
  if (path === null) return { apiKey: key, apiKeyNames: key === null ? [] : [variable] }
  if (key !== null && keyRank === fileRank) {
    reading.refuse(fileVariable, `and ${variable} are both set. Keep one of them.`)
  }
  if (key !== null && keyRank > fileRank) return { apiKey: key, apiKeyNames: [variable] }
  const inFile = reading.takeFile(fileVariable, apiKeyFile, path)
  return { apiKey: inFile, apiKeyNames: inFile === null ? [] : [fileVariable] }
}

/** Refuses an upstream that is the gate itself: every request would go round until it is cut. */
export function refuseOwnListener(
  reading: Reading,
  { spec }: UpstreamConfig,
  listener: Listener,
): void {
  if (!leadsTo(spec.url, listener)) return
  const variable = variableOf(spec.name, 'URL')
  const freePort = listener.port === 8010 ? 8020 : 8010
  const enginePort = listener.port === 65_535 ? 8001 : listener.port + 1
  reading.refuse(
    variable,
    `leads back to this gate, which listens on port ${listener.port} itself` +
      `${listener.port === 8000 ? " (vLLM's default port is 8000 too)" : ''}. Either move the ` +
      `engine to port ${enginePort} and set ${variable}=http://127.0.0.1:${enginePort}, ` +
      `or move the gate: GENGATE_PORT=${freePort}.`,
  )
}

/** Two upstreams of one kind whose URL is left to the default would be one server twice. */
export function refuseTwins(reading: Reading, upstreams: readonly UpstreamConfig[]): void {
  for (const [index, { spec }] of upstreams.entries()) {
    const variable = variableOf(spec.name, 'URL')
    const twin = upstreams
      .slice(0, index)
      .find(
        ({ spec: other }) =>
          other.url === spec.url && other.engine === spec.engine && other.model === spec.model,
      )
    if (twin === undefined || !reading.isDefault(variable)) continue
    reading.refuse(
      variable,
      `must be set: its default, ${spec.url}, is upstream ${twin.spec.name} already. ` +
        'Two upstreams may share a server if each has its own _MODEL.',
    )
  }
}
