import { engineError, isRecord } from '../engines/engine-error.ts'
import type { ProbeKind } from '../engines/quirks.ts'

/** What a 2xx body proves. */
export type BodyVerdict =
  /** It generated; tokens as the engine counts them, 0 where it does not. */
  | { readonly kind: 'generated'; readonly tokens: number }
  /** A closed set of reasons, fit for a log: never a piece of the body. */
  | {
      readonly kind: 'invalid'
      readonly why:
        | 'empty_body'
        | 'not_json'
        | 'error_body'
        | 'no_choices'
        | 'no_data'
        | 'no_proof'
        | 'finish_abort'
        | 'finish_error'
    }
  /** A stream that stops before its end. */
  | { readonly kind: 'unfinished' }

/** Ends that an engine reports when it is done. */
const PROPER_ENDS: ReadonlySet<string> = new Set(['stop', 'length', 'tool_calls'])

/**
 * Judges a complete 2xx body by what every engine fills in: a proper `finish_reason`, or a counted
 * token. Text may be empty: one token can be invisible, or stand in `reasoning` (vLLM 0.32.0 does
 * both). 200 alone proves nothing: a vLLM that shuts down answers 200 with `finish_reason:"abort"`.
 * Pure.
 */
export function judgeBody(kind: ProbeKind, contentType: string, bytes: Uint8Array): BodyVerdict {
  const text = new TextDecoder().decode(bytes).trim()
  if (text === '') return { kind: 'invalid', why: 'empty_body' }
  const isStream =
    contentType.startsWith('text/event-stream') || /^(?:(?:data|event|id|retry):|:)/.test(text)
  if (isStream && kind !== 'embeddings') return judgeStream(text)
  const body = parseJson(text)
  if (!isRecord(body)) return { kind: 'invalid', why: 'not_json' }
  if (engineError(body) !== null) return { kind: 'invalid', why: 'error_body' }
  if (kind === 'embeddings') {
    const { data } = body
    return Array.isArray(data) && data.length > 0
      ? { kind: 'generated', tokens: 0 }
      : { kind: 'invalid', why: 'no_data' }
  }
  if (!hasChoice(body)) return { kind: 'invalid', why: 'no_choices' }
  const finish = finishOf(body)
  const tokens = tokensOf(body)
  return judgeEnd(finish, tokens) ?? { kind: 'invalid', why: 'no_proof' }
}

/** The value of a JSON text; undefined when it is none. Pure. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Some engines stream whatever was asked for. Only the end counts, not `[DONE]`. */
function judgeStream(text: string): BodyVerdict {
  let finish: string | null = null
  let tokens = 0
  for (const line of text.split(/\r\n|\r|\n/)) {
    const data = /^data: ?(.*)$/.exec(line)?.[1]
    if (data === undefined || data.trim() === '[DONE]') continue
    const chunk = parseJson(data)
    if (!isRecord(chunk)) return { kind: 'invalid', why: 'not_json' }
    if (engineError(chunk) !== null) return { kind: 'invalid', why: 'error_body' }
    finish = finishOf(chunk) ?? finish
    tokens = Math.max(tokens, tokensOf(chunk))
  }
  // Running totals in the middle of a stream are no end: only a reason is.
  return finish === null
    ? { kind: 'unfinished' }
    : (judgeEnd(finish, tokens) ?? { kind: 'unfinished' })
}

function judgeEnd(finish: string | null, tokens: number): BodyVerdict | null {
  if (finish === 'abort') return { kind: 'invalid', why: 'finish_abort' }
  if (finish === 'error') return { kind: 'invalid', why: 'finish_error' }
  if (tokens >= 1 || (finish !== null && PROPER_ENDS.has(finish))) {
    return { kind: 'generated', tokens }
  }
  return null
}

function hasChoice(body: Readonly<Record<string, unknown>>): boolean {
  return Array.isArray(body['choices']) && body['choices'].length > 0
}

function finishOf(body: Readonly<Record<string, unknown>>): string | null {
  if (!Array.isArray(body['choices'])) return null
  const choices: unknown[] = body['choices']
  for (const choice of choices) {
    const reason = isRecord(choice) ? choice['finish_reason'] : undefined
    if (typeof reason === 'string' && reason !== '') return reason
  }
  return null
}

function tokensOf(body: Readonly<Record<string, unknown>>): number {
  const usage = body['usage']
  const tokens = isRecord(usage) ? usage['completion_tokens'] : undefined
  return typeof tokens === 'number' && Number.isFinite(tokens) ? Math.max(0, tokens) : 0
}
