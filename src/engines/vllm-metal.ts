import { PLAIN, type Quirks } from './quirks.ts'
import { vllm } from './vllm.ts'

/**
 * Two servers bear this name: vLLM's own with the Metal plugin, and the small one of the PyPI
 * package `vllm-metal` 0.1.0 (seen live), which has chat and completions only. What both accept is what
 * stands here.
 */
export const vllmMetal: Quirks = {
  // Its own has all of the routes; the small one answers 404, which is passed on. Of the two only its own
  // has counters, and can sleep.
  ...vllm,
  kind: 'vllm_metal',
  defaultPort: 8002,
  // The PyPI server answers 422 without `model`, and accepts any value.
  modelOptional: false,
  // PyPI server: 503 {"detail":"Model not loaded"}.
  isLoading: PLAIN.isLoading,
}
