import { type EngineError, engineError, wordsOf } from './engine-error.ts'
import { isObject, type JsonObject, listOf, valueOf } from './read.ts'
import { type AnswerApi, CHOICE_TABLES, finishOf } from './tables.ts'

/** What a unary 2xx answer came to. */
export type JsonVerdict =
  | { readonly ok: true }
  | {
      readonly ok: false
      /** `no_choices`: what every answer of this API has is not there. */
      readonly why: 'empty' | 'not_json' | 'error' | 'abort' | 'no_choices'
      /** For people; what the upstream said where it said something, clipped. */
      readonly message: string
      /** All that the engine said; null: nothing, or only that it stopped. */
      readonly said: EngineError | null
    }

const OK: JsonVerdict = { ok: true }
const decoder = new TextDecoder()

/** Judges a whole JSON answer with a 2xx status before it is passed on (docs/decisions/0003). */
export function judgeJson(api: AnswerApi, bytes: Uint8Array): JsonVerdict {
  const text = decoder.decode(bytes)
  if (text.trim() === '') return bad('empty', 'The body is empty.')
  const body = valueOf(text)
  // Rerankers of some engines answer with a bare list.
  if (api === 'json' && Array.isArray(body)) return OK
  if (!isObject(body)) {
    return bad('not_json', 'The body is no JSON object.')
  }
  const error = engineError(body)
  if (error !== null) return failedBy(error)
  switch (api) {
    case 'json':
      return OK
    case 'responses':
      return judgeResponse(body)
    case 'messages':
      return judgeMessage(body)
    case 'chat':
    case 'completions':
    case 'embeddings':
      return judgeParts(body, CHOICE_TABLES[api].unary)
  }
}

function judgeParts(body: JsonObject, unary: string): JsonVerdict {
  const parts = listOf(body[unary])
  if (parts.length === 0) return without(unary)
  const error = parts.find((part) => isObject(part['error']))
  if (error !== undefined) return failedBy(engineError(error))
  const improper = parts.find((part) => finishOf(part['finish_reason']) === 'improper')
  if (improper === undefined) return OK
  return aborted(`finish_reason: ${String(improper['finish_reason'])}`)
}

/** The statuses of a response that the client can do something with. Those in the background go
 *  on after this answer. */
const GOOD: readonly unknown[] = ['completed', 'incomplete', 'queued', 'in_progress']

function judgeResponse(body: JsonObject): JsonVerdict {
  const { status } = body
  if (status === 'failed') return bad('error', 'status: failed')
  if (status === 'cancelled') return aborted('status: cancelled')
  return GOOD.includes(status) || Array.isArray(body['output']) ? OK : without('output')
}

/** vLLM knows no stop reason for `abort`: half a message comes with null, or with none. */
function judgeMessage(body: JsonObject): JsonVerdict {
  if (body['type'] === 'error') return failedBy(engineError(body, true))
  if (!Array.isArray(body['content'])) return without('content')
  const reason = body['stop_reason']
  if (finishOf(reason) === 'proper') return OK
  return aborted(`stop_reason: ${typeof reason === 'string' ? reason : 'none'}`)
}

function without(member: string): JsonVerdict {
  return bad('no_choices', `The body has no ${member}.`)
}

function aborted(message: string): JsonVerdict {
  return bad('abort', message)
}

function bad(why: Extract<JsonVerdict, { ok: false }>['why'], message: string): JsonVerdict {
  return { ok: false, why, message, said: null }
}

function failedBy(said: EngineError | null): JsonVerdict {
  if (said === null) return bad('error', 'The upstream reported an error.')
  return { ok: false, why: 'error', message: wordsOf(said), said }
}
