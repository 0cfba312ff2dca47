import { readFileSync } from 'node:fs'
import t from 'tap'
import { classifyEvent, judgeJson } from '../../src/api/answer.ts'
import { screenEvent } from '../../src/api/screen.ts'
import { ANSWERS, type ApiName } from '../support/answer-apis.ts'

// Goal: answers of the Responses and the Messages API, and of those without a common shape.

const FIXTURES = new URL('../fixtures/wire-events/', import.meta.url)
const fixture = (name: string): Buffer => readFileSync(new URL(name, FIXTURES))
const cut = (text: string): Buffer[] =>
  text.split(/(?<=\n\n)/).map((part) => Buffer.from(part, 'latin1'))
const eventsOf = (name: string): Buffer[] => cut(fixture(name).toString('latin1'))

/** One letter per event: content, neutral, End with content, end without, error, abort, done. */
function shape(api: ApiName, events: readonly Buffer[]): string {
  return events
    .map((event) => {
      const verdict = classifyEvent(ANSWERS[api], event)
      if (verdict.kind === 'end') return verdict.content ? 'E' : 'e'
      if (verdict.kind === 'error') return verdict.why === 'abort' ? 'a' : 'x'
      return verdict.kind[0]
    })
    .join('')
}

/** An event as the two APIs send them: its name and its type are the same. */
const named = (type: string, rest: object = {}): Buffer =>
  Buffer.from(`event: ${type}\ndata: ${JSON.stringify({ type, ...rest })}\n\n`)
const both = (name: string, data: object): Buffer =>
  Buffer.from(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)
const nameless = (data: object): Buffer => Buffer.from(`data: ${JSON.stringify(data)}\n\n`)

t.test('captured responses: what a frozen engine sends, too, is neutral', async (t) => {
  t.equal(shape('responses', eventsOf('vllm-0.32.0-responses_stream.sse')), 'nnnnccnnne')
  t.equal(shape('responses', eventsOf('llamacpp-b11434-responses_stream.sse')), 'nnnncccnnne')
})

t.test('captured responses: the screen is sure of the deltas and of nothing else', async (t) => {
  for (const name of ['vllm-0.32.0-responses_stream.sse', 'llamacpp-b11434-responses_stream.sse']) {
    for (const event of eventsOf(name)) {
      const delta = event.includes('output_text.delta')
      t.equal(screenEvent(ANSWERS.responses, event)?.kind, delta ? 'content' : undefined)
    }
  }
})

t.test('responses: every delta with something in it is content, of choice 0', async (t) => {
  for (const kind of [
    'output_text',
    'reasoning_text',
    'reasoning_summary_text',
    'refusal',
    'function_call_arguments',
    'custom_tool_call_input',
    'mcp_call_arguments',
    'code_interpreter_call_code',
    'audio',
    'audio.transcript',
  ]) {
    const type = `response.${kind}.delta`
    const full = named(type, { item_id: 'x', delta: '{' })
    t.strictSame(classifyEvent(ANSWERS.responses, full), { kind: 'content', open: [0] }, type)
    t.equal(screenEvent(ANSWERS.responses, full)?.kind, 'content', `screened ${type}`)
    for (const delta of ['', null, []]) {
      t.equal(shape('responses', [named(type, { delta })]), 'n', `${type} ${String(delta)}`)
    }
  }
})

t.test('responses: what proves nothing', async (t) => {
  const item = { type: 'message', content: [{ type: 'output_text', text: 'x' }] }
  const neutral = [
    named('response.created', { response: { status: 'in_progress', error: null } }),
    named('response.in_progress', { response: { status: 'in_progress' } }),
    named('response.queued', { response: { status: 'queued' } }),
    named('response.output_item.added', { item }),
    named('response.output_item.done', { item }),
    named('response.content_part.added', { part: { text: 'x' } }),
    named('response.content_part.done', { part: { text: 'x' } }),
    named('response.output_text.done', { text: 'x' }),
    named('response.output_text.annotation.added', { annotation: {} }),
    named('response.mcp_call.failed', { item_id: 'x' }),
    named('response.yet_unknown', { delta: 'x' }),
    named('toString', { delta: 'x' }),
    Buffer.from(': keep-alive\n\n'),
    Buffer.from('event: response.output_text.delta\ndata: no json\n\n'),
  ]
  for (const event of neutral) t.equal(shape('responses', [event]), 'n', event.toString())
})

t.test('responses: ends, proper and not, whatever name the end goes by', async (t) => {
  const end = { kind: 'end', content: false, finished: [0], open: [] }
  for (const [type, status] of [
    ['response.completed', 'completed'],
    ['response.completed', 'incomplete'],
    ['response.incomplete', 'incomplete'],
  ] as const) {
    const event = named(type, { response: { status, error: null } })
    t.strictSame(classifyEvent(ANSWERS.responses, event), end, `${type} ${status}`)
  }
  t.strictSame(classifyEvent(ANSWERS.responses, named('response.completed')), end)
  const error = { code: 'server_error', message: 'boom' }
  const cases: [Buffer, object][] = [
    [named('response.failed', { response: { error } }), { why: 'error', message: 'boom' }],
    [named('response.failed'), { why: 'error', message: 'response.failed' }],
    [
      named('response.completed', { response: { status: 'failed', error } }),
      { why: 'error', message: 'boom' },
    ],
    [named('response.cancelled', { response: {} }), { why: 'abort' }],
    [named('response.completed', { response: { status: 'cancelled' } }), { why: 'abort' }],
    [
      named('error', { code: 'x', message: 'boom', param: null }),
      { why: 'error', message: 'boom' },
    ],
    [nameless({ type: 'error', message: 'boom' }), { why: 'error', message: 'boom' }],
    [nameless({ error }), { why: 'error', message: 'boom' }],
    [Buffer.from('event: error\ndata: boom\n\n'), { why: 'error', message: 'boom' }],
  ]
  for (const [event, expected] of cases) {
    t.match(
      classifyEvent(ANSWERS.responses, event),
      { kind: 'error', ...expected },
      event.toString(),
    )
    t.equal(screenEvent(ANSWERS.responses, event), null, 'not for the screen')
  }
  t.equal(shape('responses', [Buffer.from('data: [DONE]\n\n')]), 'd')
})

t.test('typed events: the type in the data counts, else the name', async (t) => {
  const delta = 'response.output_text.delta'
  t.equal(shape('responses', [nameless({ type: delta, delta: 'x' })]), 'c')
  t.equal(shape('responses', [both(delta, { delta: 'x' })]), 'c')
  t.equal(shape('responses', [both('response.completed', { type: delta, delta: 'x' })]), 'c')
  t.equal(shape('responses', [both(delta, { type: 'response.completed' })]), 'e')
  t.equal(screenEvent(ANSWERS.responses, both(delta, { type: 'response.completed' })), null)
  t.equal(shape('responses', [both('error', { type: delta, delta: 'x' })]), 'x', 'clients raise')
  t.equal(shape('messages', [both('message_stop', {})]), 'd')
  t.equal(screenEvent(ANSWERS.messages, both('message_stop', {})), null)
})

/** As vLLM's and llama.cpp's converters write a message with a thought, a text and a call. */
const MESSAGE = [
  named('message_start', {
    message: { id: 'm', type: 'message', content: [], stop_reason: null, usage: {} },
  }),
  named('ping'),
  named('content_block_start', { index: 0, content_block: { type: 'thinking', thinking: '' } }),
  named('content_block_delta', { index: 0, delta: { type: 'thinking_delta', thinking: 'hm' } }),
  named('content_block_delta', { index: 0, delta: { type: 'signature_delta', signature: 'f00' } }),
  named('content_block_stop', { index: 0 }),
  named('content_block_start', { index: 1, content_block: { type: 'text', text: '' } }),
  named('content_block_delta', { index: 1, delta: { type: 'text_delta', text: 'Hi' } }),
  named('content_block_stop', { index: 1 }),
  named('content_block_start', {
    index: 2,
    content_block: { type: 'tool_use', id: 'c', name: 'f', input: {} },
  }),
  named('content_block_delta', { index: 2, delta: { type: 'input_json_delta', partial_json: '' } }),
  named('content_block_delta', {
    index: 2,
    delta: { type: 'input_json_delta', partial_json: '{"a"' },
  }),
  named('content_block_stop', { index: 2 }),
  named('message_delta', { delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 9 } }),
  named('message_stop'),
]

t.test('messages: a whole stream', async (t) => {
  t.equal(shape('messages', MESSAGE), 'nnnccnncnnncned')
  const screened = MESSAGE.map(
    (event) => screenEvent(ANSWERS.messages, event)?.kind[0] ?? '?',
  ).join('')
  t.equal(screened, '???cc??c??nc???')
})

t.test('messages: the smaller rules', async (t) => {
  const block = (content_block: object) => named('content_block_start', { index: 0, content_block })
  const delta = (part: object) => named('content_block_delta', { index: 0, delta: part })
  const stop = (stop_reason: unknown) => named('message_delta', { delta: { stop_reason } })
  t.equal(shape('messages', [block({ type: 'text', text: 'x' })]), 'c', 'text from the start')
  t.equal(shape('messages', [delta({ type: 'citations_delta', citation: { a: 1 } })]), 'c')
  t.equal(shape('messages', [delta({ type: 'text_delta', text: '' })]), 'n')
  t.equal(shape('messages', [named('content_block_delta', { delta: 'x' })]), 'n', 'no object')
  t.equal(shape('messages', [named('message_delta', { usage: {} })]), 'n')
  t.equal(shape('messages', [stop(null)]), 'n', 'vLLM that was stopped: no end')
  for (const word of ['end_turn', 'max_tokens', 'stop_sequence', 'pause_turn', 'refusal', 'new']) {
    t.equal(shape('messages', [stop(word)]), 'e', word)
  }
  t.equal(shape('messages', [stop('abort'), stop('error')]), 'aa')
  const error = { type: 'overloaded_error', message: 'Overloaded' }
  t.match(classifyEvent(ANSWERS.messages, named('error', { error })), {
    kind: 'error',
    why: 'error',
    message: 'Overloaded',
  })
  t.equal(shape('messages', [nameless({ type: 'error' }), nameless({ error })]), 'xx')
  t.equal(shape('messages', [Buffer.from('data: [DONE]\n\n')]), 'd')
})

t.test('json: any data may be the last, so that the framing decides', async (t) => {
  const last = { kind: 'end', content: true, finished: [0], open: [] }
  t.strictSame(classifyEvent(ANSWERS.json, nameless({ a: 1 })), last)
  t.strictSame(classifyEvent(ANSWERS.json, Buffer.from('data: words\n\n')), last)
  const rest = [': x\n\n', 'event: ping\n\n', 'data: {"error":"x"}\n\n', 'data: [DONE]\n\n']
  t.equal(shape('json', cut(rest.join(''))), 'nnxd')
  t.equal(screenEvent(ANSWERS.json, nameless({ a: 1 })), null)
  t.equal(screenEvent(ANSWERS.json, Buffer.from(': x\n\n'))?.kind, 'neutral')
})

t.test('judgeJson: captured answers of the other APIs', async (t) => {
  const cases: [ApiName, string][] = [
    ['responses', 'vllm-0.32.0-responses.json'],
    ['responses', 'llamacpp-b11434-responses.json'],
    ['responses', 'ollama-0.33.0-responses.json'],
    ['messages', 'vllm-0.32.0-messages.json'],
    ['messages', 'llamacpp-b11434-messages.json'],
    ['messages', 'ollama-0.33.0-messages.json'],
    ['json', 'vllm-0.32.0-tokenize.json'],
  ]
  for (const [api, name] of cases) t.strictSame(judgeJson(ANSWERS[api], fixture(name)), null, name)
})

t.test('judgeJson: every way of the other APIs to be an answer, or none', async (t) => {
  const cases: [ApiName, string, string | true][] = [
    ['responses', '{"status":"completed","error":null}', true],
    ['responses', '{"status":"incomplete","output":[]}', true],
    ['responses', '{"status":"queued","background":true}', true],
    ['responses', '{"status":"in_progress"}', true],
    ['responses', '{"output":[]}', true],
    ['responses', '{"status":"failed","output":[],"error":null}', 'error'],
    ['responses', '{"status":"failed","error":{"message":"boom"}}', 'error'],
    ['responses', '{"status":"completed","error":{"message":"boom"}}', 'error'],
    ['responses', '{"status":"cancelled","output":[{}]}', 'abort'],
    ['responses', '{"id":"x"}', 'no_choices'],
    ['responses', '{"output":{}}', 'no_choices'],
    ['responses', '', 'empty'],
    ['responses', '[]', 'not_json'],
    ['messages', '{"type":"message","content":[],"stop_reason":"end_turn"}', true],
    ['messages', '{"type":"message","content":[{}],"stop_reason":null}', 'abort'],
    ['messages', '{"type":"message","content":[{}]}', 'abort'],
    ['messages', '{"type":"message","content":[{}],"stop_reason":"abort"}', 'abort'],
    ['messages', '{"type":"message","stop_reason":"end_turn"}', 'no_choices'],
    ['messages', '{"type":"error","error":{"type":"api_error","message":"boom"}}', 'error'],
    ['messages', '{"type":"error","message":"boom","content":[]}', 'error'],
    ['json', '{}', true],
    ['json', '[]', true],
    ['json', ' [{"index":0,"score":0.1}] ', true],
    ['json', '{"input_tokens":3,"error":null}', true],
    ['json', '{"error":{"message":"boom"}}', 'error'],
    ['json', '{"object":"error","message":"boom"}', 'error'],
    ['json', '\n', 'empty'],
    ['json', '3', 'not_json'],
    ['json', '{"scores":[', 'not_json'],
    ['chat', '[]', 'not_json'],
  ]
  for (const [api, body, expected] of cases) {
    const verdict = judgeJson(ANSWERS[api], Buffer.from(body))
    t.equal(verdict?.why ?? true, expected, `${api} ${body}`)
    if (body.includes('boom')) t.match(verdict, { message: 'boom' })
  }
})
