import type { ProbeKind } from './quirks.ts'

/** A generation request, ready to send. */
export interface ProbeRequest {
  /** Below the base URL. */
  readonly path: string
  /** JSON. */
  readonly body: string
}

/** What a probe asks for. */
export interface ProbeWish {
  readonly kind: ProbeKind
  /** As the upstream knows it; null: left out, where the engine allows that. */
  readonly model: string | null
  readonly maxTokens: number
}

/**
 * The smallest request that makes an engine generate, in the words that all of them understand.
 * `max_tokens`, since Ollama ignores `max_completion_tokens` and would generate without end; no
 * `seed`, `min_tokens`, `n` or `priority`, which one engine or another refuses. Pure.
 */
export function probeRequest({ kind, model, maxTokens }: ProbeWish): ProbeRequest {
  const named = model === null ? {} : { model }
  const limits = { max_tokens: maxTokens, temperature: 0, stream: false }
  switch (kind) {
    case 'chat':
      return {
        path: '/v1/chat/completions',
        body: JSON.stringify({
          ...named,
          messages: [{ role: 'user', content: 'OK' }],
          ...limits,
        }),
      }
    case 'completions':
      return {
        path: '/v1/completions',
        body: JSON.stringify({ ...named, prompt: 'OK\n', ...limits }),
      }
    case 'embeddings':
      return { path: '/v1/embeddings', body: JSON.stringify({ ...named, input: 'OK' }) }
  }
}
