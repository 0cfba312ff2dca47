import { isRecord, namesLoading, namesUnknownModel } from './engine-error.ts'
import { names } from './model-list.ts'
import type { Quirks } from './quirks.ts'

/**
 * LM Studio. From its documentation, not seen live. With just-in-time loading (the default) a
 * request loads the model it names and evicts the one that was loaded that way before.
 */
export const lmstudio: Quirks = {
  kind: 'lmstudio',
  defaultPort: 1234,
  probes: ['chat', 'completions', 'embeddings'],
  // LM Studio 0.4.0 and newer; older ones answer with something else, which tells nothing.
  loadedQuery: { path: '/api/v1/models', loaded: loadedInstances },
  modelOptional: false,
  // With just-in-time loading /v1/models lists everything that was downloaded.
  listsUnloaded: true,
  routes: ['chat', 'completions', 'embeddings', 'responses', 'messages'],
  work: null,
  quietIntervalMs: 0,
  neverProbe: () => false,
  isLoading: (status, body) => status === 503 && namesLoading(body),
  // 404 with code `model_not_found`, and 404 "No models loaded." (lmstudio-ai/lms#107).
  isUnknownModel: (status, body) => (status === 400 || status === 404) && namesUnknownModel(body),
  isFailure: () => false,
}

/** Keys and instance ids of what is in memory, language models first. */
function loadedInstances(body: unknown): readonly string[] | null {
  if (!isRecord(body) || !Array.isArray(body['models'])) return null
  const models: unknown[] = body['models']
  const loaded = models.filter((model) => instancesOf(model).length > 0)
  const ordered = [...loaded.filter(isLlm), ...loaded.filter((model) => !isLlm(model))]
  return [...new Set(ordered.flatMap((model) => [...names([model], 'key'), ...idsOf(model)]))]
}

function isLlm(model: unknown): boolean {
  return isRecord(model) && model['type'] === 'llm'
}

function idsOf(model: unknown): readonly string[] {
  return names(instancesOf(model), 'id')
}

function instancesOf(model: unknown): readonly unknown[] {
  const instances: unknown = isRecord(model) ? model['loaded_instances'] : undefined
  return Array.isArray(instances) ? instances : []
}
