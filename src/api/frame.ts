import { errorTypeOf, toOpenAiBody } from '../errors/body.ts'
import type { ErrorCode } from '../errors/catalogue.ts'
import type { AnswerApi, EngineError, ErrorForm, JsonObject } from './api.ts'
import { engineError, wordsOf } from './answer.ts'
import { EventSplitter, fieldsOf, objectOf, valueOf } from './read.ts'

/**
 * The last bytes of an event stream that cannot be completed, as the clients of this API read
 * them: none of them takes a stream that merely stops for an error. `sequence`: the number after
 * the last one that the stream sent; only the Responses API counts its events. Pure.
 */
export function errorFrame(
  { errors }: AnswerApi,
  code: ErrorCode,
  detail: string,
  sequence = 0,
): string {
  return errors.frame(errors.own(code, detail), sequence)
}

/**
 * The same of an upstream's own error body, with all that its error object says. Null where it
 * holds no error that a client would find. `status`: of the answer that the body belongs to; the type of
 * a client's own mistake follows it, and one without words gets some. Pure.
 */
export function errorFrameOf(
  { errors }: AnswerApi,
  upstreamBody: string,
  { sequence = 0, status = 0 }: { readonly sequence?: number; readonly status?: number } = {},
): string | null {
  const found = engineError(valueOf(upstreamBody))?.object ?? {}
  const error = status >= 400 && status < 500 ? ofMistake(errors, found, status) : found
  return Object.keys(error).length === 0 ? null : errors.frame(error, sequence)
}

/** A mistake of the client's that an engine tells after a 200 of its own: what to answer instead. */
export interface Mistake {
  readonly status: number
  /** An error body in the words of the API, with the engine's own error object. */
  readonly body: Buffer
}

/** Null: what the engine said names no mistake of the client's. Pure. */
export function mistakeOf({ errors }: AnswerApi, said: EngineError | null): Mistake | null {
  if (said === null || said.status === null) return null
  const { status, object } = said
  const message = said.message === '' ? wordsOf(said) : said.message
  const body = errors.body({ ...object, message }, status)
  return { status, body: Buffer.from(JSON.stringify(body)) }
}

function ofMistake(errors: ErrorForm, error: JsonObject, status: number): JsonObject {
  const { message = `The upstream answered ${status}.`, ...more } = error
  return { message, ...more, type: errors.typeOf(status, error['type']) }
}

const OPENAI_TYPES: ReadonlySet<unknown> = new Set([
  'invalid_request_error',
  'authentication_error',
  'permission_error',
  'rate_limit_error',
])

/** How OpenAI's clients read errors, and those of nearly everybody. */
export const OPENAI_ERRORS: ErrorForm = {
  own: (code, detail) => ({ ...toOpenAiBody(code, detail).error }),
  typeOf: (status, given) => (OPENAI_TYPES.has(given) ? String(given) : errorTypeOf(status)),
  frame: (error) => `data: ${JSON.stringify({ error })}\n\n`,
  body: (error, status) => {
    const { type, code = null, param = null } = error
    return { error: { ...error, type: type ?? errorTypeOf(status), param, code } }
  },
}

/** An error as an event of that name. */
export function eventFrame(data: JsonObject): string {
  return `event: error\ndata: ${JSON.stringify(data)}\n\n`
}

const SEQUENCE = Buffer.from('"sequence_number"')

/** May an event in these bytes have a number? Pure. */
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
