import { listedAs, type ListedModel, plainModel } from '../core/model/model-choice.ts'
import type { EngineKind } from '../core/upstream.ts'
import { isObject } from '../api/read.ts'

/** More names than this are not kept: no table grows with what an upstream sends. */
const MODELS_MAX = 1_000
/** Longest name kept, characters; the gate refuses longer ones from clients too. */
const NAME_MAX = 256
/** Further names kept for one model. */
const ALIASES_MAX = 32
/** What is kept of one entry for clients, characters of JSON. */
const FIELDS_MAX = 4_096

type JsonRecord = Readonly<Record<string, unknown>>

/**
 * The models in an answer to `GET /v1/models`, in its order; null when it is not a list. An empty
 * Ollama says `"data": null`, which is an empty list; mlx-lm may send an empty body, which is not
 * (both seen live: ollama 0.33.0-rc2, mlx-lm 0.32.2). Pure.
 */
export function listedModels(body: unknown): readonly ListedModel[] | null {
  if (isObject(body) && body['data'] === null) return []
  const data = listIn(body, 'data')
  return data && readEntries(data, 'id', ofEntry)
}

/** The list under `key`; null: there is none. Pure. */
export function listIn(body: unknown, key: string): readonly unknown[] | null {
  const list: unknown = isObject(body) ? body[key] : null
  return Array.isArray(list) ? list : null
}

/** The texts under `key` of the records in `items`: in order, without repetition, bounded. Pure. */
export function names(items: readonly unknown[], key: string): readonly string[] {
  return readEntries(items, key, (id) => plainModel(id)).map(({ id }) => id)
}

/** The records in `items` that have a name under `key`: in order, each name once, bounded. Pure. */
export function readEntries(
  items: readonly unknown[],
  key: string,
  read: (id: string, entry: JsonRecord) => ListedModel,
): readonly ListedModel[] {
  const found = new Map<string, ListedModel>()
  for (const item of items) {
    const id = isObject(item) ? item[key] : undefined
    if (!isObject(item) || !isName(id) || found.has(id)) continue
    found.set(id, read(id, item))
    if (found.size === MODELS_MAX) break
  }
  return [...found.values()]
}

/** A list with what the engine says of the same models elsewhere. Pure. */
export function withDetails(
  engine: EngineKind,
  listed: readonly ListedModel[],
  details: readonly ListedModel[],
): readonly ListedModel[] {
  return listed.map((model) => {
    const more = listedAs(engine, details, model.id)
    if (more === null) return model
    const aliases = [...new Set([...model.aliases, ...more.aliases])]
    return {
      ...more,
      id: model.id,
      aliases: aliases.filter((alias) => alias !== model.id).slice(0, ALIASES_MAX),
      work: more.work ?? model.work,
      sizeBytes: more.sizeBytes ?? model.sizeBytes,
      fields: { ...more.fields, ...model.fields },
    }
  })
}

/** The names among `values`, bounded. Pure. */
export function aliasesIn(values: unknown): readonly string[] {
  return Array.isArray(values) ? values.filter(isName).slice(0, ALIASES_MAX) : []
}

/** A size in bytes; null: the value is not one. Pure. */
export function sizeIn(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : null
}

/** The fields of an entry that fit, without those named in `but`. Pure. */
export function fieldsOf(entry: JsonRecord, but: ReadonlySet<string>): JsonRecord {
  let left = FIELDS_MAX
  const kept = Object.entries(entry).filter(([key, value]) => {
    if (but.has(key)) return false
    const size = key.length + (JSON.stringify(value) ?? '').length
    if (size > left) return false
    left -= size
    return true
  })
  return Object.fromEntries(kept)
}

/** What an engine's own words for a model's abilities or kind come to; null: nothing known. Pure. */
export function workOfWords(words: unknown): ListedModel['work'] {
  const said = (Array.isArray(words) ? words : [words]).filter((word) => typeof word === 'string')
  const says = (...known: string[]): boolean => said.some((word) => known.includes(word))
  if (says('completion', 'completions', 'chat', 'llm', 'vlm')) return 'generation'
  if (says('embedding', 'embeddings', 'embed')) return 'embedding'
  if (says('rerank', 'reranker')) return 'rerank'
  return null
}

/** What a name gives away, where the engine says nothing; null: nothing. Pure. */
export function workOfName(id: string): ListedModel['work'] {
  const name = id.toLowerCase()
  if (name.includes('rerank')) return 'rerank'
  if (/embed|(?:^|[^a-z])(?:bge|e5|gte|all-minilm)-/.test(name)) return 'embedding'
  if (/whisper|(?:^|[^a-z])(?:tts|stt|vad)(?:[^a-z]|$)|stable-?diffusion|dall-?e-/.test(name)) {
    return 'other'
  }
  return null
}

/** Clients know the name; permissions are OpenAI's of 2023; command lines may hold keys. */
const NOT_FOR_CLIENTS: ReadonlySet<string> = new Set(['id', 'object', 'permission', 'status'])

/** An entry of `/v1/models`, with what one engine or another adds to it. */
function ofEntry(id: string, entry: JsonRecord): ListedModel {
  const meta = isObject(entry['meta']) ? entry['meta'] : {}
  return {
    id,
    // llama.cpp, and llama-swap where it is told to.
    aliases: aliasesIn(entry['aliases']).filter((alias) => alias !== id),
    // infinity tells its abilities, LM Studio its type, llama.cpp's router how it starts a model.
    work:
      workOfWords(entry['capabilities']) ??
      workOfWords(entry['type']) ??
      workOfArguments(entry['status']) ??
      workOfName(id),
    local: true,
    sizeBytes: sizeIn(meta['size']),
    fields: fieldsOf(entry, NOT_FOR_CLIENTS),
  }
}

/** llama.cpp's router shows the arguments of each server that it starts. */
function workOfArguments(status: unknown): ListedModel['work'] {
  const given: unknown = isObject(status) ? status['args'] : undefined
  const says = (...flags: string[]): boolean =>
    Array.isArray(given) && flags.some((flag) => given.includes(flag))
  if (says('--rerank', '--reranking')) return 'rerank'
  return says('--embedding', '--embeddings') ? 'embedding' : null
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= NAME_MAX
}
