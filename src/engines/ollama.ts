import { isRecord, namesUnknownModel } from './engine-error.ts'
import { names } from './model-list.ts'
import type { Quirks } from './quirks.ts'

/** Ollama proxies names with this suffix to ollama.com (`internal/modelref` of ollama/ollama). */
const CLOUD = /[:-]cloud$/

/**
 * Ollama. Every request resets the model's expiry (5 min by default), a request for an unloaded
 * model loads it and may evict another, and leaving early aborts that load (`server/sched.go`).
 * So `/api/ps`, which has no side effects, is asked first. Seen live: 0.33.0-rc2.
 */
export const ollama: Quirks = {
  kind: 'ollama',
  defaultPort: 11_434,
  // Every text model has a chat template; an embedding model answers 400 "does not support chat".
  probes: ['chat', 'embeddings'],
  // Empty while a model loads; still lists a runner that was killed, which a request then revives.
  loadedQuery: {
    path: '/api/ps',
    loaded: (body) =>
      isRecord(body) && Array.isArray(body['models'])
        ? names(body['models'], 'name').filter((name) => !CLOUD.test(name))
        : null,
  },
  // 400 "model is required".
  modelOptional: false,
  listsUnloaded: true,
  // Longer than the keep-alive of 5 min, so that quiet probes never pin a model in memory.
  routes: ['chat', 'completions', 'embeddings', 'responses', 'messages'],
  work: null,
  quietIntervalMs: 330_000,
  neverProbe: (model) => CLOUD.test(model),
  // It never says so: a request simply blocks until the model is loaded.
  isLoading: () => false,
  // 404 "model 'x' not found"; a missing route is the plain text "404 page not found".
  isUnknownModel: (status, body) => status === 404 && namesUnknownModel(body),
  isFailure: () => false,
}
