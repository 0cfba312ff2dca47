import type { AnswerApi, EngineError, EventVerdict, Fault, JsonObject, Members } from './api.ts'
import { fieldsOf, isObject, objectOf, valueOf } from './read.ts'

const DONE: EventVerdict = { kind: 'done' }
const decoder = new TextDecoder()

/**
 * Reads one whole event: exact, and slow enough (some microseconds) to be used before commit and
 * for what `screenEvent` is unsure of only. An event whose data is not a JSON object is neutral:
 * clients do not take it for an answer either.
 */
export function classifyEvent(api: AnswerApi, event: Uint8Array): EventVerdict {
  const { name, data } = fieldsOf(decoder.decode(event))
  // OpenAI's own clients stop at anything that begins like this.
  if (data.startsWith('[DONE]')) return DONE
  const body = objectOf(data)
  // Whatever the data says: clients raise by this name.
  const error = engineError(body ?? data, name === 'error')
  return error === null ? api.ofEvent({ name, data, body }) : failed(error)
}

/** Judges a whole JSON answer with a 2xx status, before it is passed on
 *  (docs/decisions/0003) and when it answers a probe. Null: nothing is wrong with it. */
export function judgeJson(api: AnswerApi, bytes: Uint8Array): Fault | null {
  const text = decoder.decode(bytes)
  if (text.trim() === '') return fault('empty', 'The body is empty.')
  const body = valueOf(text)
  if (api.listed === true && Array.isArray(body)) return null
  if (!isObject(body)) return fault('not_json', 'The body is not a JSON object.')
  const error = engineError(body)
  return error === null ? api.ofWhole(body) : failed(error)
}

/** Tokens that the engine counted in this answer, or in this event; 0: it counts none. Pure. */
export function tokensOf(body: JsonObject): number {
  const { usage } = body
  const tokens = isObject(usage) ? usage['completion_tokens'] : undefined
  return typeof tokens === 'number' && Number.isFinite(tokens) ? Math.max(0, tokens) : 0
}

/** Finish reasons by which an engine says that it was stopped: vLLM sends `abort` with status 200
 *  when it shuts down. Every other word is a proper end, also one that we have never seen. */
const IMPROPER: readonly string[] = ['abort', 'error']

/** What a finish or stop reason says; null: the choice goes on. */
export function finishOf(reason: unknown): 'proper' | 'improper' | null {
  if (typeof reason !== 'string' || reason === '') return null
  return IMPROPER.includes(reason) ? 'improper' : 'proper'
}

/** Members of a delta, a message or a block that say what it is, and bring nothing. */
export const ABOUT_ITSELF: readonly string[] = [
  'role',
  'name',
  'index',
  'id',
  'type',
  'object',
  'created',
  'model',
  'tool_use_id',
  'finish_reason',
  'stop_reason',
]

/** Does the object bring anything new in these members? */
export function isContent(members: Members, object: JsonObject): boolean {
  const { only, except } = members
  if (only !== undefined) return only.some((key) => isSubstance(object[key]))
  return Object.keys(object).some((key) => !except.includes(key) && isSubstance(object[key]))
}

/** A text, a list or an object that is not empty. */
function isSubstance(value: unknown): boolean {
  if (typeof value === 'string') return value.length > 0
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0
}

/** The engine said what went wrong; null: it has no words. */
export function failed(said: EngineError | null, message = said ? wordsOf(said) : NO_WORDS): Fault {
  return { kind: 'error', why: 'error', message, said }
}

/** The engine says that it was stopped. */
export function aborted(message: string): Fault {
  return fault('abort', message)
}

/** What every answer of its API has is not there. */
export function answerWithout(member: string): Fault {
  return fault('no_choices', `The body has no ${member}.`)
}

function fault(why: Fault['why'], message: string): Fault {
  return { kind: 'error', why, message, said: null }
}

const NO_WORDS = 'The upstream reported an error.'

/**
 * The error in a parsed body; null when it carries none. The one reader of them, for probes, traffic
 * and frames. In use are `{"error":{…}}` (OpenAI, vLLM, llama.cpp, Ollama), `{"error":"text"}`
 * (mlx-lm, vLLM's 401; with `error_type` TGI), `{"object":"error",…}` (SGLang), `{"detail":…}`
 * (FastAPI). `named`: something beside the body says that it is an error (an event of that name, a
 * field of that name), so a body of no known shape is the error object itself (llama.cpp). Pure.
 */
export function engineError(body: unknown, named = false): EngineError | null {
  if (!isObject(body)) {
    return named ? made(typeof body === 'string' ? { message: body } : {}, {}) : null
  }
  const { error, detail } = body
  if (isObject(error)) return made(error, body)
  if (typeof error === 'string' && error !== '') return made(withoutError(body, error), body)
  // Anything else that is truthy is still an error, only without words: clients raise on it.
  if (error) return made({}, body)
  if (body['object'] === 'error') {
    const { object: _object, ...rest } = body
    return made(rest, body)
  }
  if (isDetail(body, detail)) return made({ message: textOfDetail(detail) }, body)
  return named ? made(body, {}) : null
}

/** The error object of a body whose `error` is a text: what stands beside it belongs to it. */
function withoutError(body: JsonObject, message: string): JsonObject {
  const { error_type: type, status, code } = body
  return {
    message,
    ...(typeof type === 'string' ? { type } : {}),
    ...(code === undefined ? {} : { code }),
    ...(status === undefined ? {} : { status }),
  }
}

/** FastAPI's own errors have no other member worth a name; an answer that merely has a `detail` is
 *  none. */
function isDetail(body: JsonObject, detail: unknown): detail is string | readonly unknown[] {
  const given = typeof detail === 'string' ? detail !== '' : Array.isArray(detail)
  return given && !ANSWERS.some((key) => key in body)
}
const ANSWERS = ['choices', 'data', 'output', 'content', 'results', 'tokens', 'id'] as const

/** `body.temperature: Input should be greater than 0`, for each complaint of the list. */
function textOfDetail(detail: string | readonly unknown[]): string {
  if (typeof detail === 'string') return detail
  const complaints = detail.filter(isObject).map(({ loc, msg }) => {
    const where = Array.isArray(loc) ? loc.join('.') : ''
    return [where, typeof msg === 'string' ? msg : ''].filter((part) => part !== '').join(': ')
  })
  return complaints.filter((text) => text !== '').join('; ')
}

function made(object: JsonObject, body: JsonObject): EngineError {
  const message = textOf(object['message']) || textOf(object['msg'])
  const type = textOf(object['type'])
  const code = textOf(object['code'])
  return { message, type, code, status: statusIn(object, body), object }
}

/** Members that hold a number or a word for what went wrong, the surest first. */
const NUMBERS = ['status', 'status_code', 'code', 'http_code', 'error_code'] as const

function statusIn(object: JsonObject, body: JsonObject): number | null {
  for (const holder of [object, body]) {
    for (const key of NUMBERS) {
      const number = Number(NUMERIC.test(textOf(holder[key])) ? holder[key] : Number.NaN)
      // A number decides, also against the client's being at fault.
      if (number >= 400 && number <= 599) return number < 500 ? number : null
    }
  }
  const words = [object['code'], object['type'], body['code'], body['error_type'], body['type']]
  for (const word of words) {
    const status = STATUS_OF.get(typeof word === 'string' ? plain(word) : '')
    if (status !== undefined) return status
  }
  return Array.isArray(body['detail']) ? 422 : null
}
const NUMERIC = /^\d{3}$/

/** `BadRequestError`, `bad_request` and `Bad Request` are one word. */
function plain(word: string): string {
  return word
    .toLowerCase()
    .replaceAll(/[^a-z]/g, '')
    .replace(/error$/, '')
}

/** Words by which OpenAI, Anthropic and the engines name a mistake of the client's. Those for a
 *  fault of the engine are in no row. */
const WORDS: Readonly<Record<number, readonly string[]>> = {
  400: [
    'bad_request',
    'invalid_request',
    'invalid_prompt',
    'invalid_value',
    'context_length_exceeded',
    'exceed_context_size',
    'string_above_max_length',
    'unsupported_parameter',
    'unsupported_value',
    'unknown_parameter',
    'missing_required_parameter',
    'invalid_type',
    'content_filter',
    'content_policy_violation',
    'value_error',
  ],
  401: ['authentication', 'invalid_api_key', 'unauthorized'],
  403: ['permission', 'permission_denied', 'forbidden', 'content_refused'],
  404: ['not_found', 'model_not_found'],
  413: ['request_too_large', 'payload_too_large'],
  422: ['unprocessable_entity', 'validation', 'request_validation'],
  429: ['rate_limit', 'rate_limit_exceeded', 'insufficient_quota', 'too_many_requests'],
}
const STATUS_OF: ReadonlyMap<string, number> = new Map(
  Object.entries(WORDS).flatMap(([status, words]) =>
    words.map((word) => [plain(word), Number(status)] as const),
  ),
)

/** Longest message taken over from an upstream, UTF-16 units. */
const MESSAGE_MAX = 300

/** What an engine said went wrong, for people: its sentence, else its type or code, clipped. Pure. */
export function wordsOf(error: EngineError): string {
  const text = error.message || error.type || error.code
  return text === '' ? NO_WORDS : text.slice(0, MESSAGE_MAX)
}

/** The sentence of the error in a parsed body; '': none. Pure. */
export function messageOf(body: unknown): string {
  return engineError(body)?.message ?? ''
}

/** Does it say that the model is not there? Pure. */
export function namesUnknownModel(body: unknown): boolean {
  const error = engineError(body)
  if (error === null || namesNothingLoaded(body)) return false
  if (error.code === 'model_not_found') return true
  // "File Not Found" and "Not Found" speak of a route: only a text that names a model counts.
  const { message } = error
  return /\bmodels?\b/i.test(message) && /not found|does not exist|unknown model/i.test(message)
}

/** Does it say that no model at all is in memory? That says nothing about the one that was named, and
 *  LM Studio answers so with the code `model_not_found`. Pure. */
export function namesNothingLoaded(body: unknown): boolean {
  return /\bno models? (?:is |are )?(?:currently )?loaded\b/i.test(messageOf(body))
}

/** Does it say that the engine is not ready yet? "Overloaded" is not loading. Pure. */
export function namesLoading(body: unknown): boolean {
  return /\bloading\b|\bnot (yet )?loaded\b|\bstarting\b|\bwarming up\b/i.test(messageOf(body))
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}
