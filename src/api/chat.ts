import { ABOUT_ITSELF } from './answer.ts'
import type { Api, JsonObject } from './api.ts'
import { choiceAnswers, type ChoiceEvents, provesChoice } from './choices.ts'
import { isObject } from './read.ts'

const members = { except: ABOUT_ITSELF }

/** How a whole message becomes events. */
const events: ChoiceEvents = {
  object: 'chat.completion.chunk',
  partsOf: (choice, at) => {
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
    const finish = reason ?? (called ? 'tool_calls' : 'stop')
    return {
      content: { index, delta, logprobs, finish_reason: null },
      finish: { ...rest, index, delta: {}, finish_reason: finish },
    }
  },
}

/** OpenAI's chat completions. */
export const chat = {
  routes: [{ name: 'chat', paths: ['/v1/chat/completions'], work: 'generation' }],
  body: 'buffered',
  replay: true,
  answers: choiceAnswers({ delta: 'delta', members, part: 'choices', events }),
  probe: {
    request: ({ temperature, tokens, field }) => ({
      messages: [{ role: 'user', content: 'OK' }],
      [field]: tokens,
      ...(temperature ? { temperature: 0 } : {}),
      stream: false,
    }),
    part: 'choices',
    proves: (body) => provesChoice(body, { message: 'message', members }),
  },
} as const satisfies Api

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
