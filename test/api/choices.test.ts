import { ChatCompletionStream } from 'openai/lib/ChatCompletionStream'
import t from 'tap'
import { StreamReader } from '../../src/proxy/answer/stream-reader.ts'
import { ANSWERS } from '../support/answer-apis.ts'
import { clientOf, fixture } from './events.ts'

// Goal: a JSON answer becomes events that clients read as if the engine had streamed.
// Method: the real client, fed by a real server; captured answers.

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const wrapped = (body: Buffer, usage = false) => ANSWERS.chat.asEvents?.(body, usage) ?? null

/** The data of each event. */
function dataOf(stream: Buffer | null): unknown[] {
  const events = (stream ?? Buffer.alloc(0)).toString().split('\n\n')
  if (events.pop() !== '' || events.at(-1) !== 'data: [DONE]') throw new Error('no stream')
  return events.slice(0, -1).map((event) => JSON.parse(event.replace(/^data: /, '')) as unknown)
}

const ASKED = { model: 'm', messages: [], stream: true as const }

const TOOL_CALLS = [
  { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":"é\\n"}' } },
  { id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } },
]
const SAID = { content: null, refusal: null, reasoning: 'hm', tool_calls: TOOL_CALLS }
const CALLS = json({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 12,
  model: 'm',
  choices: [
    { index: 0, message: { role: 'assistant', ...SAID }, finish_reason: 'tool_calls' },
    { index: 1, message: { role: 'assistant', content: 'two' }, finish_reason: 'length' },
  ],
  usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
})

t.test('wrapAsEvents: one event for what a choice says, one for its end', async (t) => {
  const whole = fixture('vllm-metal-0.1.0-chat_unary_1tok.json')
  const { id, created, model, choices } = JSON.parse(whole.toString()) as {
    [key: string]: unknown
    choices: { message: { content: string } }[]
  }
  const head = { id, created, model, object: 'chat.completion.chunk' }
  const delta = { role: 'assistant', content: choices[0]?.message.content ?? 'none' }
  t.strictSame(dataOf(wrapped(whole)), [
    { ...head, choices: [{ index: 0, delta, logprobs: null, finish_reason: null }] },
    { ...head, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
  ])
})

t.test('wrapAsEvents: the gate reads its own events as a proper stream', async (t) => {
  for (const name of [
    'vllm-metal-0.1.0-chat_unary_1tok.json',
    'vllm-0.32.0-chat_unary_1tok.json',
    'llamacpp-b11434-chat_unary_1tok.json',
    'mlx-lm-0.32.2-chat_unary_1tok.json',
  ]) {
    const reader = new StreamReader({ api: ANSWERS.chat, model: null })
    t.equal(reader.push(wrapped(fixture(name), true) ?? Buffer.alloc(0)).failure, null, name)
    t.equal(reader.end().failure, null)
    t.ok(reader.complete())
  }
})

t.test('wrapAsEvents: openai-node puts the same answer together', async (t) => {
  const client = await clientOf(t, wrapped(CALLS, true))
  const stream = ChatCompletionStream.fromReadableStream(
    (await client.chat.completions.create(ASKED)).toReadableStream(),
  )
  const { choices, usage, id, created, model } = await stream.finalChatCompletion()
  t.match({ id, created, model }, { id: 'chatcmpl-1', created: 12, model: 'm' })
  t.match(usage, { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 })
  const message = { role: 'assistant', content: null, tool_calls: TOOL_CALLS }
  t.match(choices, [
    { finish_reason: 'tool_calls', message },
    { finish_reason: 'length', message: { content: 'two' } },
  ])
})

t.test('wrapAsEvents: all that a message says goes into its delta', async (t) => {
  const [first, second, ...rest] = dataOf(wrapped(CALLS)) as {
    choices: { delta: Record<string, unknown> }[]
  }[]
  t.equal(rest.length, 2, 'no usage unless it was asked for')
  const delta = first?.choices[0]?.delta ?? {}
  t.equal(delta['reasoning'], 'hm')
  t.notOk('refusal' in delta, 'null says nothing')
  t.match(delta['tool_calls'], [{ index: 0 }, { index: 1 }])
  t.match(second, { choices: [{ index: 1, delta: { role: 'assistant', content: 'two' } }] })
  const refusal = json({ choices: [{ message: { refusal: 'no' }, finish_reason: 'stop' }] })
  t.match(dataOf(wrapped(refusal))[0], {
    choices: [{ index: 0, delta: { role: 'assistant', content: null, refusal: 'no' } }],
  })
})

t.test('wrapAsEvents: usage is an event without choices, and is never invented', async (t) => {
  t.match(dataOf(wrapped(CALLS, true)).at(-1), { choices: [], usage: { total_tokens: 3 } })
  t.equal(dataOf(wrapped(CALLS, true)).length, 5)
  const without = json({ choices: [{ message: { content: 'x' }, finish_reason: 'stop' }] })
  t.equal(dataOf(wrapped(without, true)).length, 2)
})

const reasonOf = (message: object) => {
  const last = dataOf(wrapped(json({ choices: [{ message }] }))).at(-1) as {
    choices: { finish_reason: string }[]
  }
  return last.choices[0]?.finish_reason
}

t.test('wrapAsEvents: a choice without a finish reason ends all the same', async (t) => {
  t.equal(reasonOf({ content: 'x' }), 'stop')
  t.equal(reasonOf({ tool_calls: [] }), 'stop')
  t.equal(reasonOf({ tool_calls: [{ id: 'a' }] }), 'tool_calls')
})

t.test('wrapAsEvents: completions, as openai-node reads them', async (t) => {
  const choices = [
    { index: 0, text: 'one', finish_reason: 'length', logprobs: { tokens: ['one'] } },
    { index: 1, text: '', finish_reason: 'stop' },
  ]
  const body = json({ id: 'cmpl-1', object: 'text_completion', created: 1, model: 'm', choices })
  const client = await clientOf(t, ANSWERS.completions.asEvents?.(body, false) ?? null)
  const texts = ['', '']
  const reasons: unknown[] = []
  const asked = { model: 'm', prompt: '', stream: true } as const
  for await (const chunk of await client.completions.create(asked)) {
    t.match(chunk, { id: 'cmpl-1', object: 'text_completion', created: 1, model: 'm' })
    for (const choice of chunk.choices) {
      texts[choice.index] += choice.text
      if (choice.finish_reason !== null) reasons[choice.index] = choice.finish_reason
    }
  }
  t.strictSame({ texts, reasons }, { texts: ['one', ''], reasons: ['length', 'stop'] })
})

t.test('wrapAsEvents answers null to what is no answer with choices', async (t) => {
  for (const body of [
    '',
    'x',
    '[]',
    '{}',
    '{"choices":[]}',
    '{"choices":[null]}',
    '{"choices":[{"text":"x"}]}',
    '{"choices":[{"message":{"content":"x"}},{}]}',
    '{"error":{"message":"x"},"choices":[{"message":{}}]}',
  ]) {
    t.equal(wrapped(Buffer.from(body)), null, body)
  }
  t.equal(ANSWERS.completions.asEvents?.(json({ choices: [{ message: {} }] }), false), null)
})
