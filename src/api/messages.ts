import { anthropicTypeOf, anthropicTypeOfStatus, toOpenAiBody } from '../errors/body.ts'
import {
  abortedAnswer,
  abortedEvent,
  ABOUT_ITSELF,
  answerWithout,
  failedAnswer,
  failedEvent,
  finishOf,
} from './answer.ts'
import type { Api, ErrorForm, EventVerdict, JsonVerdict } from './api.ts'
import { engineError } from './engine-error.ts'
import { eventFrame } from './frame.ts'
import { isObject, type JsonObject } from './read.ts'
import { END, typedEvents } from './typed.ts'

const errors: ErrorForm = {
  own: (code, detail) => {
    const { message } = toOpenAiBody(code, detail).error
    return { type: anthropicTypeOf(code), message, code }
  },
  typeOf: anthropicTypeOfStatus,
  frame: (error) =>
    eventFrame({ type: 'error', error: { ...error, type: error['type'] ?? 'api_error' } }),
  body: (error, status) => ({
    type: 'error',
    error: { ...error, type: anthropicTypeOfStatus(status) },
  }),
  numbered: false,
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
      errorOf: (body) => failedEvent(engineError(body, true)),
    }),
    ofWhole: judgeMessage,
    listed: false,
    streamEnd: 'by_name',
    errors,
    asEvents: null,
    id: null,
    bytes: false,
  },
  probe: null,
} as const satisfies Api

/** vLLM knows no stop reason for `abort` and sends null: the message then ends without an end. */
function endOfMessage(body: JsonObject): EventVerdict {
  const { delta } = body
  const reason = isObject(delta) ? delta['stop_reason'] : null
  const finish = finishOf(reason)
  if (finish === null) return { kind: 'neutral' }
  return finish === 'proper' ? END : abortedEvent(`stop_reason: ${String(reason)}`)
}

/** vLLM knows no stop reason for `abort`: half a message comes with null, or with none. */
function judgeMessage(body: JsonObject): JsonVerdict {
  if (body['type'] === 'error') return failedAnswer(engineError(body, true))
  if (!Array.isArray(body['content'])) return answerWithout('content')
  const reason = body['stop_reason']
  if (finishOf(reason) === 'proper') return { ok: true }
  return abortedAnswer(`stop_reason: ${typeof reason === 'string' ? reason : 'none'}`)
}
