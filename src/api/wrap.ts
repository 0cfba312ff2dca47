import { isObject, type JsonObject, objectOf } from './read.ts'

/** What every event repeats of the answer. */
const ABOUT: readonly string[] = ['id', 'created', 'model', 'system_fingerprint', 'service_tier']
const DONE = 'data: [DONE]\n\n'
const decoder = new TextDecoder()

/**
 * A whole JSON answer as the event stream that the client asked for: some servers ignore `stream:
 * true` (PyPI's vllm-metal). Otherwise bytes go on as they are (docs/decisions/0015). Per
 * choice one event with all that it says and one with its finish reason, then the usage if it was
 * asked for, then `[DONE]`. Null: this is no answer with choices. Pure.
 */
export function wrapAsEvents(
  api: 'chat' | 'completions',
  body: Buffer,
  includeUsage: boolean,
): Buffer | null {
  const answer = objectOf(decoder.decode(body))
  if (answer === null || answer['error']) return null
  const { choices, usage } = answer
  if (!Array.isArray(choices) || choices.length === 0 || !choices.every(isObject)) return null
  const about = Object.fromEntries(Object.entries(answer).filter(([key]) => ABOUT.includes(key)))
  const object = api === 'chat' ? 'chat.completion.chunk' : 'text_completion'
  const event = (list: readonly JsonObject[], more: JsonObject = {}): string =>
    `data: ${JSON.stringify({ ...about, object, choices: list, ...more })}\n\n`
  const parts = choices.map((choice, at) => (api === 'chat' ? chatPart : textPart)(choice, at))
  if (!parts.every((part) => part !== null)) return null
  const events = [
    ...parts.map(({ content }) => event([content])),
    ...parts.map(({ finish }) => event([finish])),
    ...(includeUsage && isObject(usage) ? [event([], { usage })] : []),
    DONE,
  ]
  return Buffer.from(events.join(''))
}

/** The two choices that streams make of one: with what it says, and with how it ended. */
interface Part {
  readonly content: JsonObject
  readonly finish: JsonObject
}

function chatPart(choice: JsonObject, at: number): Part | null {
  const { index = at, message, finish_reason: reason, logprobs = null, ...rest } = choice
  if (!isObject(message)) return null
  const calls = message['tool_calls']
  const called = Array.isArray(calls) && calls.length > 0
  const delta = {
    role: 'assistant',
    ...substanceOf(message),
    content: message['content'] ?? null,
    // Clients put the pieces of calls together by their index.
    ...(called ? { tool_calls: calls.map(withIndex) } : {}),
  }
  return {
    content: { index, delta, logprobs, finish_reason: null },
    finish: {
      ...rest,
      index,
      delta: {},
      finish_reason: reason ?? (called ? 'tool_calls' : 'stop'),
    },
  }
}

function textPart(choice: JsonObject, at: number): Part | null {
  const { index = at, text, finish_reason: reason, logprobs = null, ...rest } = choice
  if (typeof text !== 'string') return null
  return {
    content: { ...rest, index, text, logprobs, finish_reason: null },
    finish: { index, text: '', logprobs: null, finish_reason: reason ?? 'stop' },
  }
}

/** Without the members that say nothing: vLLM fills in every one that its message could have. */
function substanceOf(message: JsonObject): JsonObject {
  const said = Object.entries(message).filter(
    ([, value]) => value !== null && !(Array.isArray(value) && value.length === 0),
  )
  return Object.fromEntries(said)
}

function withIndex(call: unknown, index: number): unknown {
  return isObject(call) ? { ...call, index } : call
}
