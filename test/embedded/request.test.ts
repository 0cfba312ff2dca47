import t from 'tap'
import { Refusal, type Route } from '../../src/embedded/engine.ts'
import { jobOf } from '../../src/embedded/request.ts'

const chat = { messages: [{ role: 'user', content: 'hi' }] }

function refused(body: unknown, route: Route = 'chat'): string {
  try {
    jobOf(route, body, 'own')
    return 'accepted'
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return `${error.status} ${error.code} ${error.param}`
  }
}

t.test('jobOf() reads every field it honours', async (t) => {
  const body = {
    model: 'own',
    messages: [
      { role: 'developer', content: 'be kind' },
      { role: 'user', content: ['a', 'b'].map((text) => ({ type: 'text', text })) },
      { role: 'assistant', content: null },
      { role: 'tool', content: 'c' },
    ],
    max_tokens: 9,
    max_completion_tokens: 5,
    stop: ['x', ''],
    seed: -1,
    temperature: 0,
    top_p: 0.5,
    stream: true,
    stream_options: { include_usage: true },
    ignore_eos: true,
    unknown_field: 'is ignored',
  }
  t.strictSame(jobOf('chat', body, 'own'), {
    route: 'chat',
    prompt: {
      kind: 'turns',
      turns: [
        { role: 'system', text: 'be kind' },
        { role: 'user', text: 'ab' },
        { role: 'assistant', text: '' },
        { role: 'user', text: 'c' },
      ],
    },
    maxTokens: 5,
    stop: ['x'],
    seed: -1,
    temperature: 0,
    topP: 0.5,
    ignoreEos: true,
    stream: true,
    includeUsage: true,
  })
})

t.test('jobOf() leaves to the engine what is absent or null', async (t) => {
  for (const prompt of ['once', ['once']]) {
    const body = { prompt, max_tokens: null, stop: null, stream: null, stream_options: null }
    const given = { prompt: { kind: 'text', text: 'once' } }
    const left = { maxTokens: null, seed: null, stream: false }
    t.match(jobOf('completions', body, 'own'), { ...given, ...left })
  }
  t.strictSame(jobOf('completions', { prompt: '', stop: 'x' }, 'own').stop, ['x'])
})

t.test('jobOf() accepts its own model name, none and an empty one, and no other', async (t) => {
  for (const model of ['own', '', undefined]) t.equal(refused({ ...chat, model }), 'accepted')
  t.equal(refused({ ...chat, model: 'other' }), '404 model_not_found model')
  t.equal(refused({ ...chat, model: 7 }), '400 invalid_value model')
})

t.test('jobOf() names the field that is wrong', async (t) => {
  const cases: [unknown, string][] = [
    [[], 'body'],
    [null, 'body'],
    [{}, 'messages'],
    [{ messages: [] }, 'messages'],
    [{ messages: ['hi'] }, 'messages[0]'],
    [{ messages: [{ role: 'king', content: '' }] }, 'messages[0].role'],
    [{ messages: [{ role: 'user', content: 1 }] }, 'messages[0].content'],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 'messages[0].content'],
    [{ ...chat, max_tokens: 0 }, 'max_tokens'],
    [{ ...chat, max_tokens: 1.5 }, 'max_tokens'],
    [{ ...chat, max_completion_tokens: '5' }, 'max_completion_tokens'],
    [{ ...chat, temperature: -1 }, 'temperature'],
    [{ ...chat, top_p: 2 }, 'top_p'],
    [{ ...chat, stop: [1] }, 'stop'],
    [{ ...chat, stop: Array(17).fill('x') }, 'stop'],
    [{ ...chat, stream: 'yes' }, 'stream'],
    [{ ...chat, n: 2 }, 'n'],
  ]
  for (const [body, param] of cases) t.equal(refused(body), `400 invalid_value ${param}`)
  t.equal(refused({ prompt: [1, 2] }, 'completions'), '400 invalid_value prompt')
  t.equal(refused({ prompt: ['a', 'b'] }, 'completions'), '400 invalid_value prompt')
})
