import type { EngineKind, UpstreamSpec } from '../core/upstream.ts'
import { quirksOf } from '../engines/index.ts'
import type { Source, UpstreamConfig } from './config.ts'
import { engineOf } from '../engines/index.ts'
import { defaultUrl, KNOWN_NAMES, nameFor } from './defaults.ts'
import { type ListedUpstream, parseUpstreamFlag } from './lists.ts'
import { parseKeyFile } from './keys.ts'
import { variableOf } from './names.ts'
import { didYouMean } from './nearest.ts'
import { quoted } from './parsed.ts'
import type { Reading } from './reading.ts'

/** Reads a file; null: it cannot be read. */
export type ReadFile = (path: string) => string | null

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
  const source = flags.length > 0 ? 'flag' : (reading.sourceOf(LIST) ?? 'default')
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
  return flags.flatMap((flag) => {
    const parsed = parseUpstreamFlag(flag)
    if (parsed.ok) return parsed.value
    for (const message of parsed.messages) reading.refuse(FLAG, message)
    return []
  })
}

/** One upstream with everything that is set for it; null: it has no usable URL. */
export function readUpstream(
  reading: Reading,
  listed: Listed,
  readFile: ReadFile,
): UpstreamConfig | null {
  const { name } = listed
  const engine = reading.field(name, 'ENGINE') ?? engineOf(name)
  const engineSource = reading.sourceOf(variableOf(name, 'ENGINE')) ?? 'default'
  reading.show(variableOf(name, 'ENGINE'), engine, engineSource)
  const url = readUrl(reading, listed, engine)
  const key = readKey(reading, name, readFile)
  if (url === null) return null
  const quietMs = reading.global('GENGATE_PROBE_QUIET_INTERVAL_MS')
  const spec: UpstreamSpec = {
    name,
    engine,
    url,
    model: readModel(reading, name),
    intent: reading.field(name, 'ADMIN'),
    probe: reading.field(name, 'PROBE'),
    cold: reading.field(name, 'COLD'),
    swaps: reading.field(name, 'SWAPS'),
    streamEnd: reading.field(name, 'STREAM_END'),
    maxConcurrency: reading.field(name, 'MAX_CONCURRENCY'),
    quietIntervalMs: Math.max(quietMs, quirksOf(engine).quietIntervalMs),
  }
  return { spec, ...key, gguf: reading.field(name, 'GGUF'), ...readRun(reading, spec) }
}

/** What the gate must know to own the engine, and what goes together with that. */
function readRun(
  reading: Reading,
  { name, probe, cold }: UpstreamSpec,
): Pick<UpstreamConfig, 'run' | 'idleStopMs'> {
  const run = reading.field(name, 'RUN')
  const idleStopMs = reading.field(name, 'IDLE_STOP_MS')
  const variable = variableOf(name, 'RUN')
  const idle = variableOf(name, 'IDLE_STOP_MS')
  if (run !== null && probe !== 'active') {
    const probing = variableOf(name, 'PROBE')
    reading.refuse(
      variable,
      `needs ${probing}=active: only a probe tells that it is wedged or back.`,
    )
  }
  if (idleStopMs === null) return { run, idleStopMs }
  if (run === null && !reading.refused(variable)) {
    reading.refuse(idle, `needs ${variable}: only what the gate starts can be stopped.`)
  }
  if (cold === 'never') {
    const setting = variableOf(name, 'COLD')
    reading.refuse(idle, `does not go with ${setting}=never: then nothing could start it again.`)
  }
  return { run, idleStopMs }
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
  if (own === null || ownSource === null) {
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
function readKey(
  reading: Reading,
  name: string,
  readFile: ReadFile,
): Pick<UpstreamConfig, 'apiKey' | 'apiKeyNames'> {
  const variable = variableOf(name, 'API_KEY')
  const fileVariable = variableOf(name, 'API_KEY_FILE')
  const key = reading.field(name, 'API_KEY')
  const path = reading.field(name, 'API_KEY_FILE')
  const keyRank = RANK[reading.sourceOf(variable) ?? 'default']
  const fileRank = RANK[reading.sourceOf(fileVariable) ?? 'default']
  if (path === null) return { apiKey: key, apiKeyNames: key === null ? [] : [variable] }
  if (key !== null && keyRank === fileRank) {
    reading.refuse(fileVariable, `and ${variable} are both set. Keep one of them.`)
  }
  if (key !== null && keyRank > fileRank) return { apiKey: key, apiKeyNames: [variable] }
  const content = readFile(path)
  if (content === null) {
    reading.refuse(fileVariable, 'names a file that cannot be read.')
    return { apiKey: null, apiKeyNames: [] }
  }
  const parsed = parseKeyFile(content)
  if (parsed.ok) return { apiKey: parsed.value, apiKeyNames: [fileVariable] }
  for (const message of parsed.messages) reading.refuse(fileVariable, message)
  return { apiKey: null, apiKeyNames: [] }
}
