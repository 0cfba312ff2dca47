import type { AnswerApi } from './answer.ts'
import { type EngineError, engineError, wordsOf } from './engine-error.ts'
import { fieldsOf, type JsonObject, objectOf, valueOf } from './read.ts'
import {
  anthropicTypeOf,
  anthropicTypeOfStatus,
  errorTypeOf,
  toOpenAiBody,
} from '../errors/body.ts'
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
 * holds no error that a client would find. `status`: of the answer that the body belongs to; the type of
 * a client's own mistake follows it, and one without words gets some. Pure.
 */
export function errorFrameOf(
  api: AnswerApi,
  upstreamBody: string,
  { sequence = 0, status = 0 }: { readonly sequence?: number; readonly status?: number } = {},
): string | null {
  const found = engineError(valueOf(upstreamBody))?.object ?? {}
  const error = status >= 400 && status < 500 ? ofMistake(api, found, status) : found
  if (Object.keys(error).length === 0) return null
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

/** A mistake of the client's that an engine tells after a 200 of its own: what to answer instead. */
export interface Mistake {
  readonly status: number
  /** An error body in the words of the API, with the engine's own error object. */
  readonly body: Buffer
}

/** Null: what the engine said names no mistake of the client's. Pure. */
export function mistakeOf(api: AnswerApi, said: EngineError | null): Mistake | null {
  if (said === null || said.status === null) return null
  const { status, object } = said
  const { code = null, param = null } = object
  const message = said.message === '' ? wordsOf(said) : said.message
  const error =
    api === 'messages'
      ? { ...object, message, type: typeIn(api, object['type'], status) }
      : { ...object, message, type: object['type'] ?? errorTypeOf(status), param, code }
  const body = api === 'messages' ? { type: 'error', error } : { error }
  return { status, body: Buffer.from(JSON.stringify(body)) }
}

function ofMistake(api: AnswerApi, error: JsonObject, status: number): JsonObject {
  const { message = `The upstream answered ${status}.`, ...more } = error
  return { message, ...more, type: typeIn(api, error['type'], status) }
}

/** The type that clients of this API know for a status; the engine's own where it is one of them. */
function typeIn(api: AnswerApi, type: unknown, status: number): string {
  if (api === 'messages') return anthropicTypeOfStatus(status)
  const own = typeof type === 'string' ? type : ''
  return OPENAI_TYPES.has(own) ? own : errorTypeOf(status)
}
const OPENAI_TYPES: ReadonlySet<string> = new Set([
  'invalid_request_error',
  'authentication_error',
  'permission_error',
  'rate_limit_error',
])

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
