import { namesLoading, namesUnknownModel } from '../api/engine-error.ts'
import { isObject } from '../api/read.ts'
import { aliasesIn, names } from './model-list.ts'
import type { Quirks } from './quirks.ts'
import { workOfSlots } from './work.ts'

/**
 * llama.cpp's `llama-server`, with one model or as a router over many. Seen live: b10434, b11434;
 * the router's words are those of `tools/server/server-models.cpp`.
 */
export const llamacpp: Quirks = {
  kind: 'llamacpp',
  defaultPort: 8080,
  // A server started with --embeddings answers 501 to the other two.
  probes: ['chat', 'completions', 'embeddings'],
  // The router marks each model with a status; with one model it says nothing, so it does not tell.
  loadedQuery: { path: '/v1/models', loaded: loadedByRouter },
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
  details: [],
  // Queued requests that were given up are run later, all of them, so it is looked at before a probe
  // is sent. A frozen one may answer 200 here: only what grows counts.
  work: { path: '/slots', before: true, read: workOfSlots },
  quietIntervalMs: 0,
  neverProbe: () => false,
  // 503 "Loading model" on every route.
  isLoading: (status, body) => status === 503 && namesLoading(body),
  // The router answers 400 "model 'x' not found". 404 "File Not Found" is a missing route.
  isUnknownModel: (status, body) => (status === 400 || status === 404) && namesUnknownModel(body),
  isFailure: () => false,
}

/** Names and aliases whose status is `loaded`; null when no entry has a status. */
function loadedByRouter(body: unknown): readonly string[] | null {
  if (!isObject(body) || !Array.isArray(body['data'])) return null
  const models: unknown[] = body['data']
  if (!models.some((model) => statusOf(model) !== null)) return null
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
