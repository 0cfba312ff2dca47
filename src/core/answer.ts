import {
  ANSWER_TABLES,
  type AnswerApi,
  type EventVerdict,
  finishOf,
  isContent,
} from './answer-tables.ts'

export { screenEvent } from './answer-screen.ts'
export type { AnswerApi, EventVerdict } from './answer-tables.ts'

/** What a unary 2xx answer came to. */
export type JsonVerdict =
  | { readonly ok: true }
  | {
      readonly ok: false
      readonly why: 'empty' | 'not_json' | 'error' | 'abort' | 'no_choices'
      /** For people; what the upstream said where it said something, clipped. */
      readonly message: string
    }

/** Longest message taken over from an upstream, UTF-16 units. */
const MESSAGE_MAX = 300
const NEUTRAL: EventVerdict = { kind: 'neutral' }
const DONE: EventVerdict = { kind: 'done' }
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
  const body = objectOf(data)
  if (name === 'error') {
    return { kind: 'error', why: 'error', content: false, message: messageOf(body, data) }
  }
  if (body === null) return NEUTRAL
  if (isError(body)) {
    return { kind: 'error', why: 'error', content: false, message: messageOf(body, data) }
  }
  const table = ANSWER_TABLES[api]
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
  if (improper !== null) {
    return { kind: 'error', why: 'abort', content, message: `finish_reason: ${improper}` }
  }
  if (finished.length > 0) return { kind: 'end', content, finished, open }
  return content ? { kind: 'content', open } : NEUTRAL
}

/** Judges a whole JSON answer with a 2xx status before it is passed on (design D6). */
export function judgeJson(api: AnswerApi, bytes: Uint8Array): JsonVerdict {
  const text = decoder.decode(bytes)
  if (text.trim() === '') return { ok: false, why: 'empty', message: 'The body is empty.' }
  const body = objectOf(text)
  if (body === null) {
    return { ok: false, why: 'not_json', message: 'The body is no JSON object.' }
  }
  if (isError(body)) return { ok: false, why: 'error', message: messageOf(body, '') }
  const { unary } = ANSWER_TABLES[api]
  const parts = listOf(body[unary])
  if (parts.length === 0) {
    return { ok: false, why: 'no_choices', message: `The body has no ${unary}.` }
  }
  const improper = parts.find((part) => finishOf(part['finish_reason']) === 'improper')
  if (improper !== undefined) {
    const message = `finish_reason: ${String(improper['finish_reason'])}`
    return { ok: false, why: 'abort', message }
  }
  return { ok: true }
}

/** The name of an event, and its data lines joined, as the SSE standard says. */
function fieldsOf(text: string): { name: string; data: string } {
  let name = ''
  const data: string[] = []
  for (const line of text.split(/\r\n|\r|\n/)) {
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    if (field !== 'data' && field !== 'event') continue
    const from = line[colon + 1] === ' ' ? colon + 2 : colon + 1
    const value = colon === -1 ? '' : line.slice(from)
    if (field === 'data') data.push(value)
    else name = value
  }
  return { name, data: data.join('\n') }
}

function objectOf(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : null
  } catch {
    return null
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function listOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** A truthy `error` is what clients raise on; `object: "error"` is SGLang's flat shape. */
function isError(body: Record<string, unknown>): boolean {
  return Boolean(body['error']) || body['object'] === 'error'
}

/** What the upstream says went wrong, clipped. */
function messageOf(body: Record<string, unknown> | null, data: string): string {
  const error = body === null ? data : (body['error'] ?? body)
  const said = isObject(error) ? (error['message'] ?? error['type'] ?? error['code']) : error
  const text = typeof said === 'string' || typeof said === 'number' ? String(said) : ''
  return text === '' ? 'The upstream reported an error.' : text.slice(0, MESSAGE_MAX)
}

/** Completions of old servers carry no index: there is one choice. */
function indexOf(choice: Record<string, unknown>): number {
  const index = choice['index']
  return typeof index === 'number' ? index : 0
}
