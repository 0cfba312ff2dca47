import type { ProbeForm } from '../api/api.ts'
import { probeApi, type ProbeKind } from '../api/index.ts'

export const USUAL_FORM: ProbeForm = { temperature: true, tokens: 0, field: 'max_tokens' }

/** Enough for engines that refuse to generate less, or cannot parse it. */
const TOKENS_ENOUGH = 4

/**
 * The next form to try after a refusal in these words; null: they are not about the parameters of a
 * probe, or that was tried. Pure.
 */
export function nextForm(
  was: ProbeForm,
  refusal: { readonly status: string; readonly said: string },
): ProbeForm | null {
  const { status, said } = refusal
  // Harmony's parser fails on a message that is cut after one token (vLLM, gpt-oss).
  if (status === 'http_500') {
    return /failed to parse input/i.test(said) ? withTokens(was) : null
  }
  if (!/^http_4(?:00|22)$/.test(status)) return null
  if (/temperature/i.test(said) && was.temperature) return { ...was, temperature: false }
  if (/max_completion_tokens/i.test(said) && was.field === 'max_tokens') {
    return { ...was, field: 'max_completion_tokens' }
  }
  return /max_(?:new_|completion_|output_)?tokens/i.test(said) ? withTokens(was) : null
}

function withTokens(was: ProbeForm): ProbeForm | null {
  return was.tokens < TOKENS_ENOUGH ? { ...was, tokens: TOKENS_ENOUGH } : null
}

/** A form in words, for the operator; '': the usual one. Pure. */
export function formText({ temperature, tokens, field }: ProbeForm): string {
  const parts = [
    field === USUAL_FORM.field ? '' : field,
    temperature ? '' : 'no temperature',
    tokens === 0 ? '' : `${tokens} tokens`,
  ]
  return parts.filter((part) => part !== '').join(', ')
}

/** What a probe asks for. */
export interface ProbeWish {
  readonly kind: ProbeKind
  /** As the upstream knows it; null: left out, where the engine allows that. */
  readonly model: string | null
  readonly maxTokens: number
  /** Absent: the usual one. */
  readonly form?: ProbeForm
}

/**
 * The smallest request that makes an engine generate, in the words that all of them understand.
 * `max_tokens`, since Ollama ignores `max_completion_tokens` and would generate without end; no
 * `seed`, `min_tokens`, `n` or `priority`, which one engine or another refuses. `path`: below the base
 * URL; `body`: JSON. Pure.
 */
export function probeRequest({ kind, model, maxTokens, form = USUAL_FORM }: ProbeWish): {
  readonly path: string
  readonly body: string
} {
  const { path, probe } = probeApi(kind)
  const asked = probe.request({ ...form, tokens: Math.max(maxTokens, form.tokens) })
  return { path, body: JSON.stringify({ ...(model === null ? {} : { model }), ...asked }) }
}
