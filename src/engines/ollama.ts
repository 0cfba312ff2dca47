import type { ListedModel } from '../core/model/model-choice.ts'
import { namesUnknownModel } from '../api/answer.ts'
import { isObject } from '../api/read.ts'
import {
  fieldsOf,
  listIn,
  names,
  readEntries,
  sizeIn,
  workOfName,
  workOfWords,
} from './model-list.ts'
import { PLAIN, type Quirks } from './quirks.ts'

/** Ollama proxies names with this suffix to ollama.com (`internal/modelref` of ollama/ollama). */
const CLOUD = /[:-]cloud$/i

/**
 * Ollama. Every request resets the model's expiry (5 min by default), a request for an unloaded
 * model loads it and may evict another, and leaving early aborts that load (`server/sched.go`).
 * So `/api/ps`, which has no side effects, is asked first. It wants a model (400 "model is required"). Seen live: 0.33.0-rc2.
 */
export const ollama: Quirks = {
  ...PLAIN,
  kind: 'ollama',
  ownedBy: 'library',
  defaultPort: 11_434,
  // Every text model has a chat template; an embedding model answers 400 "does not support chat".
  probes: ['chat', 'embeddings'],
  // Empty while a model loads; still lists a runner that was killed, which a request then revives.
  loadedQuery: {
    path: '/api/ps',
    read: (body) => {
      const models = listIn(body, 'models')
      return models && names(models, 'name').filter((name) => !CLOUD.test(name))
    },
  },
  listsUnloaded: true,
  // Longer than the keep-alive of 5 min, so that quiet probes never pin a model in memory.
  routes: [
    'chat',
    'completions',
    'embeddings',
    'responses',
    'messages',
    'images',
    'transcriptions',
  ],
  details: [{ path: '/api/tags', read: taggedModels }],
  quietIntervalMs: 330_000,
  neverProbe: (model) => CLOUD.test(model),
  // It never says so: a request simply blocks until the model is loaded.
  isLoading: () => false,
  // 404 "model 'x' not found"; a missing route is the plain text "404 page not found".
  isUnknownModel: (status, body) => status === 404 && namesUnknownModel(body),
}

/** `/api/tags` lists what `/v1/models` does, with sizes and families. */
function taggedModels(body: unknown): readonly ListedModel[] | null {
  const models = listIn(body, 'models')
  if (models === null) return null
  return readEntries(models, 'name', (id, entry) => {
    const details = isObject(entry['details']) ? entry['details'] : {}
    const remote = typeof entry['remote_host'] === 'string' && entry['remote_host'] !== ''
    return {
      id,
      aliases: [],
      work: workOfTagged(id, entry['capabilities'], details),
      local: !remote && !CLOUD.test(id),
      sizeBytes: sizeIn(entry['size']),
      fields: { ...fieldsOf(entry, NOT_FOR_CLIENTS), ...contextOf(details) },
    }
  })
}

/** The name stands there already, and what its own `/v1/models` says is told as it says it. */
const NOT_FOR_CLIENTS: ReadonlySet<string> = new Set(['name', 'model', 'modified_at', 'digest'])

/** Its own word, which older ones do not have; else families that only embed; else the name. */
function workOfTagged(
  id: string,
  capabilities: unknown,
  details: Readonly<Record<string, unknown>>,
): ListedModel['work'] {
  if (Array.isArray(capabilities) && capabilities.length > 0) {
    return workOfWords(capabilities) ?? 'other'
  }
  const families = [details['family'], details['families']].flat()
  const embeds = families.some((family) => typeof family === 'string' && family.includes('bert'))
  return embeds ? 'embedding' : workOfName(id)
}

function contextOf(details: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const length = details['context_length']
  return typeof length === 'number' ? { context_length: length } : {}
}
