import type { AnswerApi, EventVerdict, JsonVerdict, Members } from './api.ts'
import { type EngineError, engineError, wordsOf } from './engine-error.ts'
import { fieldsOf, isObject, type JsonObject, objectOf, valueOf } from './read.ts'

const DONE: EventVerdict = { kind: 'done' }
const OK: JsonVerdict = { ok: true }
const decoder = new TextDecoder()

/**
 * Reads one whole event: exact, and slow enough (some microseconds) to be used before commit and
 * for what `screenEvent` is unsure of only. An event whose data is not a JSON object is neutral:
 * clients do not take it for an answer either.
 */
export function classifyEvent(api: AnswerApi, event: Uint8Array): EventVerdict {
  const { name, data } = fieldsOf(decoder.decode(event))
  // OpenAI's own clients stop at anything that begins like this.
  if (data.startsWith('[DONE]')) return DONE
  const body = objectOf(data)
  // Whatever the data says: clients raise by this name.
  const error = engineError(body ?? data, name === 'error')
  return error === null ? api.ofEvent({ name, data, body }) : failedEvent(error)
}

/** Judges a whole JSON answer with a 2xx status, before it is passed on
 *  (docs/decisions/0003) and when it answers a probe. */
export function judgeJson(api: AnswerApi, bytes: Uint8Array): JsonVerdict {
  const text = decoder.decode(bytes)
  if (text.trim() === '') return bad('empty', 'The body is empty.')
  const body = valueOf(text)
  if (api.listed && Array.isArray(body)) return OK
  if (!isObject(body)) return bad('not_json', 'The body is not a JSON object.')
  const error = engineError(body)
  return error === null ? api.ofWhole(body) : failedAnswer(error)
}

/** Tokens that the engine counted in this answer, or in this event; 0: it counts none. Pure. */
export function tokensOf(body: JsonObject): number {
  const { usage } = body
  const tokens = isObject(usage) ? usage['completion_tokens'] : undefined
  return typeof tokens === 'number' && Number.isFinite(tokens) ? Math.max(0, tokens) : 0
}

/** Finish reasons by which an engine says that it was stopped: vLLM sends `abort` with status 200
 *  when it shuts down. Every other word is a proper end, also one that we have never seen. */
const IMPROPER: readonly string[] = ['abort', 'error']

/** What a finish or stop reason says; null: the choice goes on. */
export function finishOf(reason: unknown): 'proper' | 'improper' | null {
  if (typeof reason !== 'string' || reason === '') return null
  return IMPROPER.includes(reason) ? 'improper' : 'proper'
}

/** Members of a delta, a message or a block that say what it is, and bring nothing. */
export const ABOUT_ITSELF: readonly string[] = [
  'role',
  'name',
  'index',
  'id',
  'type',
  'object',
  'created',
  'model',
  'tool_use_id',
  'finish_reason',
  'stop_reason',
]

/** Does the object bring anything new in these members? */
export function isContent(members: Members, object: JsonObject): boolean {
  const { only, except } = members
  if (only !== undefined) return only.some((key) => isSubstance(object[key]))
  return Object.keys(object).some((key) => !except.includes(key) && isSubstance(object[key]))
}

/** A text, a list or an object that is not empty. */
function isSubstance(value: unknown): boolean {
  if (typeof value === 'string') return value.length > 0
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0
}

/** The engine said what went wrong. */
export function failedEvent(said: EngineError | null): EventVerdict {
  return { kind: 'error', why: 'error', content: false, message: textOf(said), said }
}

/** The engine says that it was stopped. */
export function abortedEvent(message: string, content = false): EventVerdict {
  return { kind: 'error', why: 'abort', content, message, said: null }
}

export function failedAnswer(said: EngineError | null, message = textOf(said)): JsonVerdict {
  return { ok: false, why: 'error', message, said }
}

export function abortedAnswer(message: string): JsonVerdict {
  return bad('abort', message)
}

/** What every answer of its API has is not there. */
export function answerWithout(member: string): JsonVerdict {
  return bad('no_choices', `The body has no ${member}.`)
}

function bad(why: Extract<JsonVerdict, { ok: false }>['why'], message: string): JsonVerdict {
  return { ok: false, why, message, said: null }
}

function textOf(said: EngineError | null): string {
  return said === null ? 'The upstream reported an error.' : wordsOf(said)
}
