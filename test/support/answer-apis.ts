import type { AnswerApi } from '../../src/api/api.ts'
import { chat } from '../../src/api/chat.ts'
import { completions } from '../../src/api/completions.ts'
import { embeddings } from '../../src/api/embeddings.ts'
import { json } from '../../src/api/json.ts'
import { messages } from '../../src/api/messages.ts'
import { responses } from '../../src/api/responses.ts'

/** How the answers of each API read, by a name that a table of cases can hold. */
export const ANSWERS = {
  chat: chat.answers,
  completions: completions.answers,
  embeddings: embeddings.answers,
  responses: responses.answers,
  messages: messages.answers,
  json: json.answers,
} as const satisfies Record<string, AnswerApi>

export type ApiName = keyof typeof ANSWERS
