import * as fc from 'fast-check'
import t from 'tap'
import { classifyEvent } from '../../src/api/answer.ts'
import { screenEvent } from '../../src/api/screen.ts'
import { holds } from '../support/property.ts'
import { ANSWERS, type ApiName } from '../support/answer-apis.ts'

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
  'type',
  'response',
  'stop_reason',
  'citation',
  'index',
  'model',
  'detail',
  'images',
  'annotations',
  'a"b',
  'é',
  '\n',
)
/** Types of events and of what is in them, with the words that begin or end alike. */
const types = fc.constantFrom(
  'response.output_text.delta',
  'response.reasoning_text.delta',
  'response.completed',
  'response.incomplete',
  'response.failed',
  'response.cancelled',
  'response.created',
  'output_text',
  'reasoning_text',
  'content_block_delta',
  'content_block_start',
  'message_delta',
  'message_stop',
  'message_start',
  'text_delta',
  'error',
  'ping',
  '',
)
const scalars = fc.oneof(
  types,
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
const news = fc.oneof(
  fc.string(),
  fc.record(
    { type: types, text: fc.string(), partial_json: scalars, stop_reason: scalars },
    { requiredKeys: [] },
  ),
)
const typedBodies = fc.oneof(
  fc.record({ type: types, delta: news, index: fc.nat(3) }, { requiredKeys: ['delta'] }),
  fc.record(
    {
      type: fc.oneof({ arbitrary: types, weight: 9 }, trees),
      delta: fc.oneof(news, trees),
      response: trees,
      content_block: trees,
      error: fc.constantFrom<unknown>(null, null, false, {}, 'x'),
    },
    { requiredKeys: [] },
  ),
)
/** The many ways to write the same JSON. */
function textsOf(values: fc.Arbitrary<unknown>): fc.Arbitrary<string> {
  return fc
    .tuple(values, fc.constantFrom('', '', '', ' ', '\t'), fc.boolean())
    .map(([body, indent, escaped]) => {
      // With an indent the data stands on several lines.
      const text = JSON.stringify(body, null, indent)
      return escaped ? text.replaceAll('e', (letter, at: number) => escape(text, letter, at)) : text
    })
}
/** Now and then a letter as an escape, where it is inside a string. */
function escape(text: string, letter: string, at: number): string {
  const quotes = text.slice(0, at).replaceAll(/\\./g, '').split('"').length - 1
  return quotes % 2 === 1 && at % 3 === 0 && text[at - 1] !== '\\' ? '\\u0065' : letter
}
const plainStarts = fc.constantFrom(
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
)
/** A name first, as typed events have it. */
const namedStarts = fc
  .tuple(
    fc.constantFrom('event: ', 'event: ', 'event:', 'event:  ', 'event'),
    fc.oneof(types, fc.constantFrom('response.output_text.delta', 'content_block_delta')),
    fc.constantFrom('\n', '\n', '\n', '\r\n', '\r', '\n\n'),
  )
  .map((parts) => parts.join(''))
const eventsAfter = (starts: fc.Arbitrary<string>, data: fc.Arbitrary<string>) =>
  fc
    .tuple(
      starts,
      fc.constantFrom('data: ', 'data: ', 'data: ', 'data:', 'data:  ', 'data', ': ', 'event: '),
      fc.oneof(
        { arbitrary: data, weight: 6 },
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
const events = eventsAfter(plainStarts, textsOf(bodies))
const typedEvents = eventsAfter(fc.oneof(plainStarts, namedStarts), textsOf(typedBodies))
const apis = fc.constantFrom<ApiName>(
  'chat',
  'completions',
  'embeddings',
  'responses',
  'messages',
  'json',
)

t.test('screenEvent never calls an end, an error or [DONE] plain', async (t) => {
  let sure = 0
  holds(
    t,
    'what it calls content or neutral is one of the two',
    fc.property(apis, events, (api, event) => {
      const screened = screenEvent(ANSWERS[api], event)
      if (screened === null) return true
      sure += 1
      const { kind } = classifyEvent(ANSWERS[api], event)
      return kind === 'content' || kind === 'neutral'
    }),
    5000,
  )
  t.ok(sure > 200, `it is sure often enough for that to mean something: ${sure} of 5000`)
})

t.test('screenEvent never calls a typed end, error or [DONE] plain', async (t) => {
  const seen = { content: 0, neutral: 0 }
  holds(
    t,
    'nor one that only its name tells',
    fc.property(fc.constantFrom<ApiName>('responses', 'messages'), typedEvents, (api, event) => {
      const screened = screenEvent(ANSWERS[api], event)
      if (screened?.kind !== 'content' && screened?.kind !== 'neutral') return screened === null
      seen[screened.kind] += 1
      const { kind } = classifyEvent(ANSWERS[api], event)
      return kind === 'content' || kind === 'neutral'
    }),
    10_000,
  )
  t.ok(Math.min(seen.content, seen.neutral) > 30, JSON.stringify(seen))
})

t.test('screenEvent agrees with classifyEvent on mutated bytes', async (t) => {
  const bases: readonly (readonly [ApiName, string])[] = [
    [
      'chat',
      'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"hi"}}],"object":"chunk"}\n\n',
    ],
    [
      'responses',
      'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"hi"}\n\n',
    ],
    [
      'messages',
      'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}\n\n',
    ],
  ]
  const mutations = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 })
  holds(
    t,
    'also on broken events',
    fc.property(fc.constantFrom(...bases), mutations, ([api, base], changes) => {
      const event = Buffer.from(base)
      for (const [at, byte] of changes) event[at % event.length] = byte
      if (screenEvent(ANSWERS[api], event) === null) return true
      const { kind } = classifyEvent(ANSWERS[api], event)
      return kind === 'content' || kind === 'neutral'
    }),
    10_000,
  )
})

t.test('screenEvent tells content from nothing as classifyEvent does', async (t) => {
  const deltas = fc.record(
    {
      role: fc.constant('assistant'),
      content: fc.oneof(fc.string(), fc.constant(null)),
      reasoning_content: fc.oneof(fc.string(), fc.constant(null)),
      tool_calls: fc.array(fc.record({ index: fc.nat(), id: fc.string() }), { maxLength: 2 }),
      images: fc.array(fc.record({ url: fc.string() }, { requiredKeys: [] }), { maxLength: 2 }),
      audio: fc.record({ id: fc.string(), data: fc.string() }, { requiredKeys: [] }),
      name: fc.string(),
      thinking_of_tomorrow: fc.oneof(fc.string(), fc.nat(), fc.boolean()),
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
      return screenEvent(ANSWERS.chat, event)?.kind === classifyEvent(ANSWERS.chat, event).kind
    }),
  )
})

t.test('screenEvent looks for content in the delta alone, and at one choice', async (t) => {
  const parts = 'data: {"choices":[{"delta":{"content":[{"text":"x"}]}}]}\n\n'
  const logprobs = 'data: {"choices":[{"delta":{"content":"x"},"logprobs":{"content":[{}]}}]}\n\n'
  t.equal(screenEvent(ANSWERS.chat, Buffer.from(parts))?.kind, 'content')
  t.equal(screenEvent(ANSWERS.chat, Buffer.from(logprobs))?.kind, 'content')
  const empty = 'data: {"choices":[{"delta":{},"logprobs":{"content":[{}]}}],"usage":{"x":"y"}}\n\n'
  t.equal(screenEvent(ANSWERS.chat, Buffer.from(empty))?.kind, 'neutral')
  const other = 'data: {"choices":[{"index":1,"delta":{"content":"x"}}]}\n\n'
  t.equal(screenEvent(ANSWERS.chat, Buffer.from(other)), null, 'of another choice')
  t.equal(screenEvent(ANSWERS.embeddings, Buffer.from('data: {"text":"x"}\n\n'))?.kind, 'neutral')
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
    t.equal(screenEvent(ANSWERS.chat, Buffer.from(event)), null, JSON.stringify(event))
  }
})

t.test('screenEvent is unsure of every typed event that could be an end or an error', async (t) => {
  const data = 'data: {"type":"response.output_text.delta","delta":"x"}'
  for (const event of [
    'data: {"type":"response.completed"}\n\n',
    'data: {"type" : "response.failed"}\n\n',
    'data: {"type":"r\\u0065sponse.completed"}\n\n',
    'data: {"type":"\\u0072esponse.completed"}\n\n',
    'data: {"type":"response.failed\\u002edelta"}\n\n',
    'data: {"typ\\u0065":"response.completed"}\n\n',
    'data: {"type":"error"}\n\n',
    'event: response.completed\ndata: {"delta":"x"}\n\n',
    'event:response.completed\ndata: {}\n\n',
    `event: error\n${data}\n\n`,
    `${data}\nevent: error\n\n`,
    `event: x.delta\nevent: error\n${data}\n\n`,
    `event: x.delta\r${data}\r\r`,
    `event: x.delta\rdata: [DONE]\n${data}\n\n`,
    `event: x.delta\n\n${data}\n\n`,
    `eventual: x.delta\n${data}\n\n`,
    `${data.replace('{', '{"error":{"message":"x"},')}\n\n`,
    'event: x.delta\ndata: [DONE]\n\n',
  ]) {
    t.equal(screenEvent(ANSWERS.responses, Buffer.from(event)), null, JSON.stringify(event))
  }
  for (const event of [
    'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n',
    'data: {"type":"message_stop"}\n\n',
    'data: {"type":"\\u006dessage_stop"}\n\n',
    'data: {"type":"error","error":null}\n\n',
    'event: message_delta\ndata: {"delta":{"stop_reason":"end_turn"}}\n\n',
  ]) {
    t.equal(screenEvent(ANSWERS.messages, Buffer.from(event)), null, JSON.stringify(event))
  }
  const crlf = Buffer.from(`event: x.delta\r\n${data}\r\n\r\n`)
  t.equal(screenEvent(ANSWERS.responses, crlf)?.kind, 'content', 'but not of line ends')
})
