import { namesLoading, namesUnknownModel } from '../api/answer.ts'
import { PLAIN, type Quirks } from './quirks.ts'
import { vllm } from './vllm.ts'

/**
 * Two servers bear this name: vLLM's own with the Metal plugin, and the small one of the PyPI
 * package `vllm-metal` 0.1.0 (seen live). What both accept is what stands here.
 */
export const vllmMetal: Quirks = {
  ...PLAIN,
  kind: 'vllm_metal',
  defaultPort: 8002,
  // The PyPI server has chat and completions only, and no embeddings route.
  probes: ['chat', 'completions', 'embeddings'],
  // The PyPI server answers 422 without `model`, and accepts any value.
  modelOptional: false,
  // vLLM's own has all of them; the small one answers 404, which is passed on.
  routes: vllm.routes,
  // Of the two only vLLM's own has counters.
  work: vllm.work,
  ...(vllm.sleep === undefined ? {} : { sleep: vllm.sleep }),
  // PyPI server: 503 {"detail":"Model not loaded"}.
  isLoading: (status, body) => status === 503 && namesLoading(body),
  isUnknownModel: (status, body) => status === 404 && namesUnknownModel(body),
}
