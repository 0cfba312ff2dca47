import * as fc from 'fast-check'
import t from 'tap'
import { type AnswerApi, classifyEvent, screenEvent } from '../../src/core/answer.ts'
import { holds } from '../support/property.ts'

const keys = fc.constantFrom(
  'error',
  'finish_reason',
  'object',
  'choices',
  'delta',
  'content',
  'text',
  'reasoning',
  'tool_calls',
  'audio',
  'index',
  'model',
  'a"b',
  'é',
  '\n',
)
const scalars = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, 0, '', 'error', 'abort', 'stop', '[DONE]', 'x"y\\'),
  fc.string({ unit: 'binary' }),
  fc.double(),
)
const trees = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalars,
    fc.array(tie('tree'), { maxLength: 3 }),
    fc
      .array(fc.tuple(keys, tie('tree')), { maxLength: 4 })
      .map((pairs) => Object.fromEntries(pairs)),
  ),
})).tree
const choices = fc.array(
  fc.record(
    {
      index: fc.nat(3),
      delta: fc.record(
        {
          content: fc.oneof(scalars, fc.array(scalars)),
          tool_calls: fc.oneof(fc.array(fc.constant({})), scalars),
          role: scalars,
        },
        { requiredKeys: [] },
      ),
      text: scalars,
      finish_reason: scalars,
    },
    { requiredKeys: [] },
  ),
  { maxLength: 3 },
)
const bodies = fc.oneof(
  trees,
  fc.record({ choices, object: scalars, error: scalars, x: trees }, { requiredKeys: ['choices'] }),
  // Without the keys that make it unsure at once.
  fc.record({ choices: fc.array(fc.record({ delta: trees, text: scalars })), model: scalars }),
)
/** The many ways to write the same JSON. */
const texts = fc
  .tuple(bodies, fc.constantFrom('', '', '', ' ', '\t'), fc.boolean())
  .map(([body, indent, escaped]) => {
    // With an indent the data stands on several lines.
    const text = JSON.stringify(body, null, indent)
    return escaped ? text.replaceAll('e', (letter, at: number) => escape(text, letter, at)) : text
  })
/** Now and then a letter as an escape, where it is inside a string. */
function escape(text: string, letter: string, at: number): string {
  const quotes = text.slice(0, at).replaceAll(/\\./g, '').split('"').length - 1
  return quotes % 2 === 1 && at % 3 === 0 && text[at - 1] !== '\\' ? '\\u0065' : letter
}
const events = fc
  .tuple(
    fc.constantFrom(
      '',
      '',
      '',
      '',
      '',
      '',
      '',
      ':x\n',
      'event: error\n',
      'id: 1\n',
      '\uFEFF',
      '\n',
    ),
    fc.constantFrom('data: ', 'data: ', 'data: ', 'data:', 'data:  ', 'data', ': ', 'event: '),
    fc.oneof(
      { arbitrary: texts, weight: 6 },
      fc.constantFrom('[DONE]', '{', '', '{}{"error":1}'),
      fc.string(),
    ),
    fc.constantFrom(
      '\n\n',
      '\n\n',
      '\n\n',
      '\r\n\r\n',
      '\r\r',
      '\n',
      '',
      '\ndata: {}\n\n',
      '\n\n\n',
    ),
  )
  .map(([before, field, text, after]) => Buffer.from(`${before}${field}${text}${after}`))
const apis = fc.constantFrom<AnswerApi>('chat', 'completions', 'embeddings')

t.test('screenEvent never calls an end, an error or [DONE] plain', async (t) => {
  let sure = 0
  holds(
    t,
    'what it calls content or neutral is one of the two',
    fc.property(apis, events, (api, event) => {
      const screened = screenEvent(api, event)
      if (screened === null) return true
      sure += 1
      const { kind } = classifyEvent(api, event)
      return kind === 'content' || kind === 'neutral'
    }),
    5000,
  )
  t.ok(sure > 200, `it is sure often enough for that to mean something: ${sure} of 5000`)
})

t.test('screenEvent agrees with classifyEvent on mutated bytes', async (t) => {
  const base =
    'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"hi"}}],"object":"chunk"}\n\n'
  const mutations = fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { maxLength: 4 })
  holds(
    t,
    'also on broken events',
    fc.property(mutations, (changes) => {
      const event = Buffer.from(base)
      for (const [at, byte] of changes) event[at] = byte
      if (screenEvent('chat', event) === null) return true
      const { kind } = classifyEvent('chat', event)
      return kind === 'content' || kind === 'neutral'
    }),
    5000,
  )
})

t.test('screenEvent tells content from nothing as classifyEvent does', async (t) => {
  const deltas = fc.record(
    {
      role: fc.constant('assistant'),
      content: fc.oneof(fc.string(), fc.constant(null)),
      reasoning_content: fc.oneof(fc.string(), fc.constant(null)),
      tool_calls: fc.array(fc.record({ index: fc.nat(), id: fc.string() }), { maxLength: 2 }),
    },
    { requiredKeys: [] },
  )
  holds(
    t,
    'same kind for plain chunks, sure every time',
    fc.property(deltas, fc.constantFrom(0, 1), (delta, indent) => {
      const choice = { index: 0, delta, finish_reason: null }
      const json = JSON.stringify({ id: 'x', object: 'chat.completion.chunk', choices: [choice] })
      const text = indent === 0 ? json : json.replaceAll(/("[a-z_]+"):/g, '$1 : ')
      const event = Buffer.from(`data: ${text}\n\n`)
      return screenEvent('chat', event)?.kind === classifyEvent('chat', event).kind
    }),
  )
})

t.test('screenEvent leaves lists in text members and logprobs to classifyEvent', async (t) => {
  const parts = 'data: {"choices":[{"delta":{"content":[{"text":"x"}]}}]}\n\n'
  const logprobs = 'data: {"choices":[{"delta":{"content":"x"},"logprobs":{"content":[{}]}}]}\n\n'
  t.equal(screenEvent('chat', Buffer.from(parts)), null)
  t.equal(screenEvent('chat', Buffer.from(logprobs)), null)
  t.equal(screenEvent('embeddings', Buffer.from('data: {"text":"x"}\n\n'))?.kind, 'neutral')
})

t.test('screenEvent is unsure of everything that could be an end or an error', async (t) => {
  for (const event of [
    'data: {"choices":[]}\nevent: error\n\n',
    'data: {"choices":[]}\rdata: [DONE]\r\r',
    'event: error\ndata: {}\n\n',
    'data: {"error":"x"}\n\n',
    'data: {"error" : {}}\n\n',
    'data: {"error":false}\n\n',
    'data: {"object":"error"}\n\n',
    'data: {"object":"\\u0065rror"}\n\n',
    'data: {"object":\t"error"}\n\n',
    'data: {"obj\\u0065ct":"error"}\n\n',
    'data: {"finish_reason":"stop"}\n\n',
    'data: {"finish_reason": "abort"}\n\n',
    'data: {"a":"x',
    'data:  {}\n\n',
    '\uFEFFdata: {}\n\n',
    'data\n\n',
    ': x\ndata: [DONE]\n\n',
  ]) {
    t.equal(screenEvent('chat', Buffer.from(event)), null, JSON.stringify(event))
  }
})
