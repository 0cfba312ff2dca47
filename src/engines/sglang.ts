import { PLAIN, type Quirks } from './quirks.ts'

/**
 * SGLang. From its source (`python/sglang/srt/entrypoints/http_server.py`, v0.5.18), not seen
 * live. `/health_generate` is not used: it takes a second, and passes on other traffic's output.
 * 503 "The request queue is full." is load. SGLang-Omni, a server of its own that has `/v1/realtime`, is configured as `openai`.
 */
export const sglang: Quirks = {
  ...PLAIN,
  kind: 'sglang',
  defaultPort: 30_000,
  modelOptional: true,
  routes: [
    'chat',
    'completions',
    'embeddings',
    'responses',
    'rerank',
    'score',
    'classify',
    'tokenize',
    'detokenize',
    'images',
    'transcriptions',
    'videos',
  ],
}
