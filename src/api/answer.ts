import { failedBy, ofChoices, ofType } from './event.ts'
import { engineError } from './engine-error.ts'
import { fieldsOf, isObject, valueOf } from './read.ts'
import type { AnswerApi, EventVerdict } from './tables.ts'

export { judgeJson, type JsonVerdict } from './json-answer.ts'
export { screenEvent } from './screen.ts'
export type { AnswerApi, EventVerdict } from './tables.ts'

const NEUTRAL: EventVerdict = { kind: 'neutral' }
const DONE: EventVerdict = { kind: 'done' }
/** Content that may well be the last: nobody says how a stream of this API ends, so its framing
 *  decides. A clean end of the body is proper after any data, a cut one never is. */
const ANY_DATA: EventVerdict = { kind: 'end', content: true, finished: [0], open: [] }
const decoder = new TextDecoder()

/**
 * Reads one whole event: exact, and slow enough (some microseconds) to be used before commit and
 * for what `screenEvent` is unsure of only. An event whose data is no JSON object is neutral:
 * clients do not take it for an answer either.
 */
export function classifyEvent(api: AnswerApi, event: Uint8Array): EventVerdict {
  const { name, data } = fieldsOf(decoder.decode(event))
  // OpenAI's own clients stop at anything that begins like this.
  if (data.startsWith('[DONE]')) return DONE
  const value = valueOf(data)
  const body = isObject(value) ? value : null
  // Whatever the data says: clients raise by this name.
  const error = engineError(body ?? data, name === 'error')
  if (error !== null) return failedBy(error)
  if (api === 'json') return data === '' ? NEUTRAL : ANY_DATA
  if (body === null) return NEUTRAL
  return api === 'responses' || api === 'messages' ? ofType(api, name, body) : ofChoices(api, body)
}
