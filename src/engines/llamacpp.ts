import { isObject } from '../api/read.ts'
import { aliasesIn, listIn, names } from './model-list.ts'
import { PLAIN, type Quirks, type Work } from './quirks.ts'

/**
 * llama.cpp's `llama-server`, with one model or as a router over many. Seen live: b10434, b11434;
 * the router's words are those of `tools/server/server-models.cpp`. One that was started with --embeddings
 * answers 501 to chat and completions. 503 "Loading model" comes on every route. The router answers 400
 * "model 'x' not found"; 404 "File Not Found" is a missing route.
 */
export const llamacpp: Quirks = {
  ...PLAIN,
  kind: 'llamacpp',
  ownedBy: 'llamacpp',
  defaultPort: 8080,
  // The router marks each model with a status; with one model it says nothing, so it does not tell.
  loadedQuery: { path: '/v1/models', read: loadedByRouter },
  // With one model any name, or none, is accepted. The router wants a name.
  modelOptional: true,
  // The router lists what lies on disk, and a request loads it and may evict another.
  listsUnloaded: true,
  routes: [
    'chat',
    'completions',
    'embeddings',
    'responses',
    'messages',
    'count_tokens',
    'rerank',
    'tokenize',
    'detokenize',
    'transcriptions',
  ],
  // Queued requests that were given up are run later, all of them, so it is looked at before a probe
  // is sent. A frozen one may answer 200 here: only what grows counts.
  work: { path: '/slots', before: true, read: workOfSlots },
}

/** Names and aliases whose status is `loaded`; null when no entry has a status. */
function loadedByRouter(body: unknown): readonly string[] | null {
  const models = listIn(body, 'data')
  if (models === null || !models.some((model) => statusOf(model) !== null)) return null
  const loaded = models.filter((model) => statusOf(model) === 'loaded')
  return [
    ...names(loaded, 'id'),
    ...loaded.flatMap((model) => aliasesIn(isObject(model) ? model['aliases'] : null)),
  ]
}

function statusOf(model: unknown): string | null {
  const status = isObject(model) ? model['status'] : undefined
  const value = isObject(status) ? status['value'] : undefined
  return typeof value === 'string' ? value : null
}

/** llama.cpp's `/slots`: per slot the task it is at and how far it is with it. */
export function workOfSlots(body: unknown): Work | null {
  if (!Array.isArray(body) || body.length === 0) return null
  const slots = body.filter(isObject)
  if (!slots.every((slot) => typeof slot['is_processing'] === 'boolean')) return null
  const busy = slots.filter((slot) => slot['is_processing'] === true)
  const made = busy.map(
    (slot) => [`${String(slot['id'])}/${String(slot['id_task'])}`, done(slot)] as const,
  )
  return { room: busy.length < slots.length, made: new Map(made) }
}

/** Prompt tokens read and tokens written. The latter lie in a list since some builds. */
function done(slot: Readonly<Record<string, unknown>>): number {
  const listed: unknown = Array.isArray(slot['next_token']) ? slot['next_token'][0] : undefined
  const next = isObject(listed) ? listed : slot
  return count(slot['n_prompt_tokens_processed']) + count(next['n_decoded'])
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0
}
