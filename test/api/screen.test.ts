import * as fc from 'fast-check'
import t from 'tap'
import { holds } from '../support/property.ts'
import { ANSWERS, type ApiName } from '../support/answer-apis.ts'
import { classify, screened } from './events.ts'

const KEYS = `error finish_reason object choices delta content text reasoning tool_calls audio type
  response stop_reason citation index model detail images annotations`
const keys = fc.constantFrom(...KEYS.split(/\s+/), 'a"b', 'é', '\n')
/** Types of events and of what is in them, with the words that begin or end alike. */
const TYPES = `response.output_text.delta response.reasoning_text.delta response.completed
  response.incomplete response.failed response.cancelled response.created output_text reasoning_text
  content_block_delta content_block_start message_delta message_stop message_start text_delta error
  ping`
const types = fc.constantFrom(...TYPES.split(/\s+/), '')
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
    fc.array(fc.tuple(keys, tie('tree')), { maxLength: 4 }).map(Object.fromEntries),
  ),
})).tree
/** An object that has some of these keys. */
const some = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(model, NONE_REQUIRED)
const NONE_REQUIRED = { requiredKeys: [] }
const deltas = some({
  content: fc.oneof(scalars, fc.array(scalars)),
  tool_calls: fc.oneof(fc.array(fc.constant({})), scalars),
  role: scalars,
})
const choices = fc.array(
  some({ index: fc.nat(3), delta: deltas, text: scalars, finish_reason: scalars }),
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
  some({ type: types, text: fc.string(), partial_json: scalars, stop_reason: scalars }),
)
const typedBodies = fc.oneof(
  fc.record({ type: types, delta: news, index: fc.nat(3) }, { requiredKeys: ['delta'] }),
  some({
    type: fc.oneof({ arbitrary: types, weight: 9 }, trees),
    delta: fc.oneof(news, trees),
    response: trees,
    content_block: trees,
    error: fc.constantFrom<unknown>(null, null, false, {}, 'x'),
  }),
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
/** Mostly this, else one of those. */
const mostly = (usual: string, weight: number, ...others: string[]) =>
  fc.oneof({ arbitrary: fc.constant(usual), weight }, fc.constantFrom(...others))
const plainStarts = mostly('', 7, ':x\n', 'event: error\n', 'id: 1\n', '\uFEFF', '\n')
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
      mostly('\n\n', 3, '\r\n\r\n', '\r\r', '\n', '', '\ndata: {}\n\n', '\n\n\n'),
    )
    .map((parts) => parts.join(''))
const events = eventsAfter(plainStarts, textsOf(bodies))
const typedEvents = eventsAfter(fc.oneof(plainStarts, namedStarts), textsOf(typedBodies))
const apis = fc.constantFrom(...(Object.keys(ANSWERS) as ApiName[]))

/** Is the event one of the two kinds that the screen may be sure of? */
const isPlain = (api: ApiName, event: string | Buffer): boolean =>
  ['content', 'neutral'].includes(classify(api, event).kind)

t.test('screenEvent never calls an end, an error or [DONE] plain', async (t) => {
  let sure = 0
  const law = fc.property(apis, events, (api, event) => {
    if (screened(api, event) === null) return true
    sure += 1
    return isPlain(api, event)
  })
  holds(t, 'what it calls content or neutral is one of the two', law, 5000)
  t.ok(sure > 200, `it is sure often enough for that to mean something: ${sure} of 5000`)
})

t.test('screenEvent never calls a typed end, error or [DONE] plain', async (t) => {
  const seen = new Map<string | null, number>()
  const typed = fc.constantFrom<ApiName>('responses', 'messages')
  const law = fc.property(typed, typedEvents, (api, event) => {
    const kind = screened(api, event)
    seen.set(kind, (seen.get(kind) ?? 0) + 1)
    return kind === null || (/^(?:content|neutral)$/.test(kind) && isPlain(api, event))
  })
  holds(t, 'nor one that only its name tells', law, 10_000)
  for (const kind of ['content', 'neutral']) t.ok((seen.get(kind) ?? 0) > 30, kind)
})

t.test('screenEvent agrees with classifyEvent on mutated bytes', async (t) => {
  const choice = { finish_reason: null, index: 0, delta: { content: 'hi' } }
  const text = { type: 'text_delta', text: 'hi' }
  const bases: readonly (readonly [ApiName, name: string, data: object])[] = [
    ['chat', '', { choices: [choice], object: 'chunk' }],
    ['responses', 'response.output_text.delta', { delta: 'hi' }],
    ['messages', 'content_block_delta', { delta: text }],
  ]
  const mutations = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 })
  const law = fc.property(fc.constantFrom(...bases), mutations, ([api, type, data], changes) => {
    const whole = type === '' ? data : { type, ...data }
    const event = Buffer.from(`${type && `event: ${type}\n`}data: ${JSON.stringify(whole)}\n\n`)
    for (const [at, byte] of changes) event[at % event.length] = byte
    return screened(api, event) === null || isPlain(api, event)
  })
  holds(t, 'also on broken events', law, 10_000)
})

t.test('screenEvent tells content from nothing as classifyEvent does', async (t) => {
  const textOrNull = fc.oneof(fc.string(), fc.constant(null))
  const plain = some({
    role: fc.constant('assistant'),
    content: textOrNull,
    reasoning_content: textOrNull,
    tool_calls: fc.array(fc.record({ index: fc.nat(), id: fc.string() }), { maxLength: 2 }),
    images: fc.array(some({ url: fc.string() }), { maxLength: 2 }),
    audio: some({ id: fc.string(), data: fc.string() }),
    name: fc.string(),
    thinking_of_tomorrow: fc.oneof(fc.string(), fc.nat(), fc.boolean()),
  })
  const law = fc.property(plain, fc.constantFrom(0, 1), (delta, indent) => {
    const choice = { index: 0, delta, finish_reason: null }
    const json = JSON.stringify({ id: 'x', object: 'chat.completion.chunk', choices: [choice] })
    const text = indent === 0 ? json : json.replaceAll(/("[a-z_]+"):/g, '$1 : ')
    const event = `data: ${text}\n\n`
    return screened('chat', event) === classify('chat', event).kind
  })
  holds(t, 'same kind for plain chunks, sure every time', law)
})

t.test('screenEvent looks for content in the delta alone, and at one choice', async (t) => {
  const parts = 'data: {"choices":[{"delta":{"content":[{"text":"x"}]}}]}\n\n'
  const logprobs = 'data: {"choices":[{"delta":{"content":"x"},"logprobs":{"content":[{}]}}]}\n\n'
  t.equal(screened('chat', parts), 'content')
  t.equal(screened('chat', logprobs), 'content')
  const empty = 'data: {"choices":[{"delta":{},"logprobs":{"content":[{}]}}],"usage":{"x":"y"}}\n\n'
  t.equal(screened('chat', empty), 'neutral')
  const other = 'data: {"choices":[{"index":1,"delta":{"content":"x"}}]}\n\n'
  t.equal(screened('chat', other), null, 'of another choice')
  t.equal(screened('embeddings', 'data: {"text":"x"}\n\n'), 'neutral')
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
    t.equal(screened('chat', event), null, JSON.stringify(event))
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
    t.equal(screened('responses', event), null, JSON.stringify(event))
  }
  for (const event of [
    'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n',
    'data: {"type":"message_stop"}\n\n',
    'data: {"type":"\\u006dessage_stop"}\n\n',
    'data: {"type":"error","error":null}\n\n',
    'event: message_delta\ndata: {"delta":{"stop_reason":"end_turn"}}\n\n',
  ]) {
    t.equal(screened('messages', event), null, JSON.stringify(event))
  }
  const crlf = `event: x.delta\r\n${data}\r\n\r\n`
  t.equal(screened('responses', crlf), 'content', 'but not of line ends')
})
