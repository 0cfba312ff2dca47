import { ROUTE_NAMES } from '../api/index.ts'
import { namesLoading, namesUnknownModel } from '../api/engine-error.ts'
import type { Quirks } from './quirks.ts'

/** Any other server that speaks the OpenAI API: nothing is taken for granted. */
export const openai: Quirks = {
  kind: 'openai',
  defaultPort: null,
  probes: ['chat', 'completions', 'embeddings'],
  loadedQuery: null,
  // The specification requires it.
  modelOptional: false,
  // It may list a whole catalogue; asking for one of many could load it, or cost money.
  listsUnloaded: true,
  routes: ROUTE_NAMES,
  details: [],
  work: null,
  quietIntervalMs: 0,
  neverProbe: () => false,
  isLoading: (status, body) => status === 503 && namesLoading(body),
  isUnknownModel: (status, body) => (status === 400 || status === 404) && namesUnknownModel(body),
  isFailure: () => false,
}
