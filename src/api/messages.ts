import { toOpenAiBody } from '../errors/body.ts'
import { ERRORS } from '../errors/catalogue.ts'
import { aborted, ABOUT_ITSELF, answerWithout, engineError, failed, finishOf } from './answer.ts'
import type { Api, ErrorForm, EventVerdict, Fault, JsonObject } from './api.ts'
import { eventFrame } from './frame.ts'
import { isObject } from './read.ts'
import { END, typedEvents } from './typed.ts'

/** By status (https://docs.anthropic.com/en/api/errors). */
const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  421: 'permission_error',
  503: 'overloaded_error',
}

const errors: ErrorForm = {
  own: (code, detail) => {
    const { message } = toOpenAiBody(code, detail).error
    return { type: typeOf(ERRORS[code].status), message, code }
  },
  typeOf,
  frame: (error) =>
    eventFrame({ type: 'error', error: { ...error, type: error['type'] ?? 'api_error' } }),
  body: (error, status) => ({ type: 'error', error: { ...error, type: typeOf(status) } }),
  // With our `param` and `code` inside.
  words: (code, detail, { param, requestId }) => {
    const { message } = toOpenAiBody(code, detail).error
    const error = { type: typeOf(ERRORS[code].status), message, param, code }
    return { type: 'error', error, request_id: requestId }
  },
}

/** Anthropic's messages. */
export const messages = {
  routes: [{ name: 'messages', paths: ['/v1/messages'], work: 'generation' }],
  body: 'buffered',
  replay: true,
  answers: {
    ...typedEvents({
      types: {
        // A block that starts may bring its first text along.
        content_block_start: 'content',
        message_delta: 'end',
        message_stop: 'done',
        error: 'error',
      },
      contentSuffix: 'content_block_delta',
      deltas: ['delta', 'content_block'],
      members: { except: ABOUT_ITSELF },
      endOf: endOfMessage,
      errorOf: (body) => failed(engineError(body, true)),
    }),
    ofWhole: judgeMessage,
    streamEnd: 'by_name',
    errors,
  },
} as const satisfies Api

/** vLLM knows no stop reason for `abort` and sends null: the message then ends without an end. */
function endOfMessage(body: JsonObject): EventVerdict {
  const { delta } = body
  const reason = isObject(delta) ? delta['stop_reason'] : null
  const finish = finishOf(reason)
  if (finish === null) return { kind: 'neutral' }
  return finish === 'proper' ? END : aborted(`stop_reason: ${String(reason)}`)
}

/** vLLM knows no stop reason for `abort`: half a message comes with null, or with none. */
function judgeMessage(body: JsonObject): Fault | null {
  if (body['type'] === 'error') return failed(engineError(body, true))
  if (!Array.isArray(body['content'])) return answerWithout('content')
  const reason = body['stop_reason']
  if (finishOf(reason) === 'proper') return null
  return aborted(`stop_reason: ${typeof reason === 'string' ? reason : 'none'}`)
}

/** The type that goes with a status (https://docs.anthropic.com/en/api/errors). */
function typeOf(status: number): string {
  return TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error')
}
