import { aborted, answerWithout, engineError, failed } from './answer.ts'
import type { Api, EventVerdict, Fault, JsonObject } from './api.ts'
import { eventFrame, OPENAI_ERRORS } from './frame.ts'
import { isObject } from './read.ts'
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
      errorOf: (body) =>
        failed(engineError(isObject(body['response']) ? body['response'] : body, true)),
    }),
    ofWhole: judgeResponse,
    streamEnd: 'at_end',
    errors: { ...OPENAI_ERRORS, frame: responseFrame, numbered: true },
    id: { whole: 'id', event: 'response.id' },
  },
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
  if (response['status'] === 'cancelled') return aborted('status: cancelled')
  if (response['status'] !== 'failed') return END
  return failed(engineError(response, true))
}

/** The statuses of a response that the client can do something with. Those in the background go
 *  on after this answer. */
const GOOD: readonly unknown[] = ['completed', 'incomplete', 'queued', 'in_progress']

function judgeResponse(body: JsonObject): Fault | null {
  const { status } = body
  if (status === 'failed') return failed(null, 'status: failed')
  if (status === 'cancelled') return aborted('status: cancelled')
  const isGood = GOOD.includes(status) || Array.isArray(body['output'])
  return isGood ? null : answerWithout('output')
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
