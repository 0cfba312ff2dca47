import type { AnswerApi } from '../core/answer.ts'
import { fieldsOf, isObject, type JsonObject, objectOf } from '../core/answer-read.ts'
import { anthropicTypeOf, toOpenAiBody } from '../errors/body.ts'
import type { ErrorCode } from '../errors/catalogue.ts'
import { EventSplitter } from './sse.ts'

/**
 * The last bytes of an event stream that cannot be completed, as the clients of this API read
 * them: none of them takes a stream that merely stops for an error. `sequence`: the number after
 * the last one that the stream sent; only the Responses API counts its events. Pure.
 */
export function errorFrame(api: AnswerApi, code: ErrorCode, detail: string, sequence = 0): string {
  const { error } = toOpenAiBody(code, detail)
  switch (api) {
    case 'responses':
      return responseFrame(error, sequence)
    case 'messages':
      return messageFrame({ type: anthropicTypeOf(code), message: error.message, code })
    case 'chat':
    case 'completions':
    case 'embeddings':
    case 'json':
      return `data: ${JSON.stringify({ error })}\n\n`
  }
}

/**
 * The same of an upstream's own error body, with all that its error object says. Null where it
 * holds no error that a client would find. Pure.
 */
export function errorFrameOf(api: AnswerApi, upstreamBody: string, sequence = 0): string | null {
  const error = errorIn(upstreamBody)
  if (error === null) return null
  switch (api) {
    case 'responses':
      return responseFrame(error, sequence)
    case 'messages':
      return messageFrame({ ...error, type: error['type'] ?? 'api_error' })
    case 'chat':
    case 'completions':
    case 'embeddings':
    case 'json':
      return `data: ${JSON.stringify({ error })}\n\n`
  }
}

const SEQUENCE = Buffer.from('"sequence_number"')

/** May an event of a response in these bytes have a number? Pure. */
export function mayBeNumbered(events: Buffer): boolean {
  return events.includes(SEQUENCE)
}

/** The number after the last one in these whole events; 0: they have none, as those of llama.cpp and
 *  of a stream that has not begun. Pure. */
export function sequenceAfter(events: Buffer): number {
  const numbers = new EventSplitter().push(events).map((event) => {
    const number = objectOf(fieldsOf(event.toString('utf8')).data)?.['sequence_number']
    return typeof number === 'number' && Number.isSafeInteger(number) ? number : -1
  })
  return (numbers.findLast((number) => number >= 0) ?? -1) + 1
}

/** openai-node raises by the name of the event, openai-python by a top-level `error`; the members
 *  beside it are what the API documents. */
function responseFrame(error: JsonObject, sequence: number): string {
  const { code = null, message = '', param = null } = error
  const data = {
    type: 'error',
    code: typeof code === 'number' ? String(code) : code,
    message,
    param,
    sequence_number: sequence,
    error,
  }
  return `event: error\ndata: ${JSON.stringify(data)}\n\n`
}

function messageFrame(error: JsonObject): string {
  return `event: error\ndata: ${JSON.stringify({ type: 'error', error })}\n\n`
}

/** The error in a JSON body: an object (OpenAI and most engines), a text (mlx-lm), or the body
 *  itself (SGLang). */
function errorIn(text: string): JsonObject | null {
  const body = objectOf(text)
  if (body === null) return null
  const { error } = body
  if (isObject(error)) return error
  if (typeof error === 'string' && error !== '') return { message: error }
  if (body['object'] !== 'error') return null
  const { object: _object, ...rest } = body
  return rest
}
