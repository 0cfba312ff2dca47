import { abortedAnswer, abortedEvent, answerWithout, failedAnswer, failedEvent } from './answer.ts'
import type { Api, EventVerdict, JsonVerdict } from './api.ts'
import { engineError } from './engine-error.ts'
import { eventFrame, OPENAI_ERRORS } from './frame.ts'
import { isObject, type JsonObject } from './read.ts'
import { END, typedEvents } from './typed.ts'

/** OpenAI's Responses API. Its engines keep what they answered. */
export const responses = {
  routes: [{ name: 'responses', paths: ['/v1/responses'], work: 'generation' }],
  body: 'buffered',
  replay: true,
  answers: {
    ...typedEvents({
      types: {
        'response.completed': 'end',
        // At a limit of tokens, or by a filter: what a finish reason of `length` is elsewhere.
        'response.incomplete': 'end',
        'response.failed': 'error',
        'response.cancelled': 'abort',
        'response.image_generation_call.partial_image': 'content',
        'response.output_text.annotation.added': 'content',
        error: 'error',
      },
      // Text, reasoning, its summary, refusals, arguments of all kinds of calls, sound.
      contentSuffix: '.delta',
      deltas: [],
      members: { only: ['delta', 'partial_image_b64', 'annotation'] },
      endOf: endOfResponse,
      errorOf: (body) => {
        const { response } = body
        return failedEvent(engineError(isObject(response) ? response : body, true))
      },
    }),
    ofWhole: judgeResponse,
    listed: false,
    streamEnd: 'at_end',
    errors: { ...OPENAI_ERRORS, frame: responseFrame, numbered: true },
    asEvents: null,
    id: { whole: 'id', event: 'response.id' },
    bytes: false,
  },
  probe: null,
} as const satisfies Api

/**
 * The id in `/v1/responses/{id}` and below; null: another route. A `POST` to one word below is not an id
 * but a route of its own, as `/v1/responses/input_tokens` is. Pure.
 */
export function responseIdOf(method: string, path: string): string | null {
  const [, id, below] = /^\/v1\/responses\/([^/]+)(\/.*)?$/.exec(path) ?? []
  return id === undefined || (method === 'POST' && below === undefined) ? null : id
}

/** vLLM ends every response by `response.completed`; its status tells how it went. */
function endOfResponse(body: JsonObject): EventVerdict {
  const { response } = body
  if (!isObject(response)) return END
  if (response['status'] === 'cancelled') return abortedEvent('status: cancelled')
  if (response['status'] !== 'failed') return END
  return failedEvent(engineError(response, true))
}

/** The statuses of a response that the client can do something with. Those in the background go
 *  on after this answer. */
const GOOD: readonly unknown[] = ['completed', 'incomplete', 'queued', 'in_progress']

function judgeResponse(body: JsonObject): JsonVerdict {
  const { status } = body
  if (status === 'failed') return failedAnswer(null, 'status: failed')
  if (status === 'cancelled') return abortedAnswer('status: cancelled')
  return GOOD.includes(status) || Array.isArray(body['output'])
    ? { ok: true }
    : answerWithout('output')
}

/** openai-node raises by the name of the event, openai-python by a top-level `error`; the members
 *  beside it are what the API documents. */
function responseFrame(error: JsonObject, sequence: number): string {
  const { code = null, message = '', param = null } = error
  return eventFrame({
    type: 'error',
    code: typeof code === 'number' ? String(code) : code,
    message,
    param,
    sequence_number: sequence,
    error,
  })
}
