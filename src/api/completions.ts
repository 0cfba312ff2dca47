import type { Api } from './api.ts'
import { choiceAnswers, type ChoiceEvents, provesChoice } from './choices.ts'

/** They stand beside logprobs, token ids and the like. */
const members = { only: ['text', 'reasoning', 'reasoning_content'] }

/** How a whole text becomes events. */
const events: ChoiceEvents = {
  object: 'text_completion',
  partsOf: (choice, at) => {
    const { index = at, text, finish_reason: reason, logprobs = null, ...rest } = choice
    if (typeof text !== 'string') return null
    return {
      content: { ...rest, index, text, logprobs, finish_reason: null },
      finish: { index, text: '', logprobs: null, finish_reason: reason ?? 'stop' },
    }
  },
}

/** OpenAI's older completions: a text goes on. */
export const completions = {
  routes: [{ name: 'completions', paths: ['/v1/completions'], work: 'generation' }],
  body: 'buffered',
  replay: true,
  answers: choiceAnswers({ delta: null, members, part: 'choices', events }),
  probe: {
    request: ({ temperature, tokens }) => ({
      prompt: 'OK\n',
      max_tokens: tokens,
      ...(temperature ? { temperature: 0 } : {}),
      stream: false,
    }),
    part: 'choices',
    proves: (body) => provesChoice(body, { message: null, members }),
  },
} as const satisfies Api
