import type { ListedModel } from '../core/model/model-choice.ts'
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

/**
 * LM Studio. From its documentation, not seen live: 404 with code `model_not_found`, and 404 "No models
 * loaded." (lmstudio-ai/lms#107). With just-in-time loading (the default) a
 * request loads the model it names and evicts the one that was loaded that way before.
 */
export const lmstudio: Quirks = {
  ...PLAIN,
  kind: 'lmstudio',
  // Its default.
  ownedBy: 'organization_owner',
  defaultPort: 1234,
  // LM Studio 0.4.0 and newer; older ones answer with something else, which tells nothing.
  loadedQuery: { path: '/api/v1/models', read: loadedInstances },
  // With just-in-time loading /v1/models lists everything that was downloaded.
  listsUnloaded: true,
  routes: ['chat', 'completions', 'embeddings', 'responses', 'messages'],
  details: [
    { path: '/api/v1/models', read: keyedModels },
    // Before 0.4.0.
    {
      path: '/api/v0/models',
      read: (body) => {
        const data = listIn(body, 'data')
        return data && readEntries(data, 'id', described)
      },
    },
  ],
}

/** Keys and instance ids of what is in memory, language models first. */
function loadedInstances(body: unknown): readonly string[] | null {
  const loaded = listIn(body, 'models')?.filter((model) => instancesOf(model).length > 0)
  if (loaded === undefined) return null
  const ordered = [...loaded.filter(isLlm), ...loaded.filter((model) => !isLlm(model))]
  return [...new Set(ordered.flatMap((model) => [...names([model], 'key'), ...idsOf(model)]))]
}

function isLlm(model: unknown): boolean {
  return isObject(model) && model['type'] === 'llm'
}

function idsOf(model: unknown): readonly string[] {
  return names(instancesOf(model), 'id')
}

function instancesOf(model: unknown): readonly unknown[] {
  return listIn(model, 'loaded_instances') ?? []
}

/** Everything that was downloaded, with the names of its instances. */
function keyedModels(body: unknown): readonly ListedModel[] | null {
  const models = listIn(body, 'models')
  return models && readEntries(models, 'key', described)
}

function described(id: string, entry: Readonly<Record<string, unknown>>): ListedModel {
  const { type } = entry
  return {
    id,
    aliases: idsOf(entry).filter((name) => name !== id),
    work: workOfWords(type) ?? (typeof type === 'string' ? 'other' : workOfName(id)),
    local: true,
    sizeBytes: sizeIn(entry['size_bytes']),
    fields: fieldsOf(entry, NOT_FOR_CLIENTS),
  }
}

/** The name stands there already; what is in memory changes sooner than the list is read again. */
const NOT_FOR_CLIENTS: ReadonlySet<string> = new Set([
  'id',
  'key',
  'object',
  'state',
  'loaded_instances',
])
