import { namesLoading, namesUnknownModel } from '../api/engine-error.ts'
import type { Quirks } from './quirks.ts'

/** The gate's own child process over node-llama-cpp: one model, OpenAI shapes. */
export const embedded: Quirks = {
  kind: 'embedded',
  defaultPort: null,
  probes: ['chat'],
  loadedQuery: null,
  modelOptional: true,
  listsUnloaded: false,
  routes: ['chat', 'completions'],
  details: [],
  work: null,
  quietIntervalMs: 0,
  neverProbe: () => false,
  isLoading: (status, body) => status === 503 && namesLoading(body),
  isUnknownModel: (status, body) => status === 404 && namesUnknownModel(body),
  isFailure: () => false,
}
