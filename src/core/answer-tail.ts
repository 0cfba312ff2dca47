import type { AnswerApi } from './answer-tables.ts'

const FINISH_REASON = /"finish_reason"\s*:\s*"(?!abort"|error")/
/** What the last bytes of a proper end hold. A quote inside a text is escaped: no text matches. */
const ENDS: Readonly<Record<AnswerApi, RegExp>> = {
  chat: FINISH_REASON,
  completions: FINISH_REASON,
  embeddings: FINISH_REASON,
  messages: /"stop_reason"\s*:\s*"(?!abort"|error")/,
  // The last event repeats the whole answer. llama.cpp writes its type first, out of sight by now;
  // but only the last one tells the usage.
  responses: /"response\.(?:completed|incomplete)"|"usage"\s*:\s*\{/,
  // Its framing decides.
  json: /^/,
}
const FAILED = /"status"\s*:\s*"(?:failed|cancelled)"|"response\.(?:failed|cancelled)"/

/**
 * Does the tail of a stream look like a proper end? For streams with an event that is too large to
 * be read whole. `tail`: the last bytes as Latin-1 text. Pure.
 */
export function tailEndsProperly(api: AnswerApi, tail: string): boolean {
  return ENDS[api].test(tail) && !(api === 'responses' && FAILED.test(tail))
}
