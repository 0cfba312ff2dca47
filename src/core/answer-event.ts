import { isObject, type JsonObject, listOf, messageOf } from './answer-read.ts'
import {
  CHOICE_TABLES,
  type ChoiceApi,
  type EventVerdict,
  finishOf,
  isContent,
  meaningOf,
  TYPED_TABLES,
  type TypedApi,
} from './answer-tables.ts'

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
    if (isObject(delta) && isContent(table, delta)) content = true
    const finish = finishOf(choice['finish_reason'])
    if (finish === null) open.push(indexOf(choice))
    else if (finish === 'proper') finished.push(indexOf(choice))
    else improper = String(choice['finish_reason'])
  }
  if (improper !== null) return aborted(`finish_reason: ${improper}`, content)
  if (finished.length > 0) return { kind: 'end', content, finished, open }
  return content ? { kind: 'content', open } : NEUTRAL
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
      return parts.some((part) => isObject(part) && isContent(table, part)) ? CONTENT : NEUTRAL
    }
    case 'end':
      return api === 'responses' ? endOfResponse(body) : endOfMessage(body)
    case 'done':
      return DONE
    case 'error': {
      const { response } = body
      const message = messageOf(isObject(response) ? response : body, '')
      return { kind: 'error', why: 'error', content: false, message }
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
  return { kind: 'error', why: 'error', content: false, message: messageOf(response, '') }
}

/** vLLM knows no stop reason for `abort` and sends null: the message then ends without an end. */
function endOfMessage(body: JsonObject): EventVerdict {
  const { delta } = body
  const reason = isObject(delta) ? delta['stop_reason'] : null
  const finish = finishOf(reason)
  if (finish === null) return NEUTRAL
  return finish === 'proper' ? END : aborted(`stop_reason: ${String(reason)}`, false)
}

function aborted(message: string, content: boolean): EventVerdict {
  return { kind: 'error', why: 'abort', content, message }
}

/** Completions of old servers carry no index: there is one choice. */
function indexOf(choice: JsonObject): number {
  const index = choice['index']
  return typeof index === 'number' ? index : 0
}
