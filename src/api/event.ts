import { type EngineError, engineError, wordsOf } from './engine-error.ts'
import { isObject, type JsonObject, listOf } from './read.ts'
import {
  CHOICE_TABLES,
  type ChoiceApi,
  type EventVerdict,
  finishOf,
  isContent,
  meaningOf,
  TYPED_TABLES,
  type TypedApi,
} from './tables.ts'

const NEUTRAL: EventVerdict = { kind: 'neutral' }
const DONE: EventVerdict = { kind: 'done' }
/** An answer without choices counts as one with index 0. */
const CONTENT: EventVerdict = { kind: 'content', open: [0] }
const END: EventVerdict = { kind: 'end', content: false, finished: [0], open: [] }

/** What the data of an event with choices is. It is no error object. */
export function ofChoices(api: ChoiceApi, body: JsonObject): EventVerdict {
  const table = CHOICE_TABLES[api]
  const finished: number[] = []
  const open: number[] = []
  let improper: string | null = null
  let content = false
  for (const choice of listOf(body['choices'])) {
    const delta = table.delta === null ? choice : choice[table.delta]
    if (isObject(delta) && isContent(table.members, delta)) content = true
    // A router's way to say what became of this choice (OpenRouter).
    const error = isObject(choice['error']) ? engineError(choice) : null
    if (error !== null) return failedBy(error)
    const finish = finishOf(choice['finish_reason'])
    if (finish === null) open.push(indexOf(choice))
    else if (finish === 'proper') finished.push(indexOf(choice))
    else improper = String(choice['finish_reason'])
  }
  if (improper !== null) return aborted(`finish_reason: ${improper}`, content)
  if (finished.length > 0) return { kind: 'end', content, finished, open }
  if (content) return { kind: 'content', open }
  return open.length > 0 ? { kind: 'neutral', open } : NEUTRAL
}

/** What the data of a typed event is. It is no error object. `name` tells the type of data that
 *  does not. */
export function ofType(api: TypedApi, name: string, body: JsonObject): EventVerdict {
  const table = TYPED_TABLES[api]
  const type = body['type']
  switch (meaningOf(table, typeof type === 'string' ? type : name)) {
    case null:
      return NEUTRAL
    case 'content': {
      const parts = table.deltas.length === 0 ? [body] : table.deltas.map((key) => body[key])
      return parts.some((part) => isObject(part) && isContent(table.members, part))
        ? CONTENT
        : NEUTRAL
    }
    case 'end':
      return api === 'responses' ? endOfResponse(body) : endOfMessage(body)
    case 'done':
      return DONE
    case 'error': {
      const { response } = body
      return failedBy(engineError(isObject(response) ? response : body, true))
    }
    case 'abort':
      return aborted('status: cancelled', false)
  }
}

/** vLLM ends every response by `response.completed`; its status tells how it went. */
function endOfResponse(body: JsonObject): EventVerdict {
  const { response } = body
  if (!isObject(response)) return END
  if (response['status'] === 'cancelled') return aborted('status: cancelled', false)
  if (response['status'] !== 'failed') return END
  return failedBy(engineError(response, true))
}

/** vLLM knows no stop reason for `abort` and sends null: the message then ends without an end. */
function endOfMessage(body: JsonObject): EventVerdict {
  const { delta } = body
  const reason = isObject(delta) ? delta['stop_reason'] : null
  const finish = finishOf(reason)
  if (finish === null) return NEUTRAL
  return finish === 'proper' ? END : aborted(`stop_reason: ${String(reason)}`, false)
}

/** The engine said what went wrong. */
export function failedBy(said: EngineError | null): EventVerdict {
  const message = said === null ? 'The upstream reported an error.' : wordsOf(said)
  return { kind: 'error', why: 'error', content: false, message, said }
}

function aborted(message: string, content: boolean): EventVerdict {
  return { kind: 'error', why: 'abort', content, message, said: null }
}

/** Completions of old servers carry no index: there is one choice. */
function indexOf(choice: JsonObject): number {
  const index = choice['index']
  return typeof index === 'number' ? index : 0
}
