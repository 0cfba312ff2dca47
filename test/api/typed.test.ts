import t from 'tap'
import { classify, event as nameless, eventsOf, screened, shape } from './events.ts'

// Goal: answers of the Responses and the Messages API, and of those without a common shape.

/** An event as the two APIs send them: its name and its type are the same. */
const named = (type: string, rest: object = {}): string => both(type, { type, ...rest })
const both = (name: string, data: object): string => `event: ${name}\n${nameless(data)}`

t.test('captured responses: the screen is sure of the deltas and of nothing else', async (t) => {
  for (const name of ['vllm-0.32.0-responses_stream.sse', 'llamacpp-b11434-responses_stream.sse']) {
    for (const event of eventsOf(name)) {
      const delta = event.includes('output_text.delta')
      t.equal(screened('responses', event), delta ? 'content' : null)
    }
  }
})

t.test('responses: every delta with something in it is content, of choice 0', async (t) => {
  const calls = ['function_call_arguments', 'custom_tool_call_input', 'mcp_call_arguments']
  const texts = ['output_text', 'reasoning_text', 'reasoning_summary_text', 'refusal']
  const others = ['code_interpreter_call_code', 'audio', 'audio.transcript']
  for (const kind of [...texts, ...calls, ...others]) {
    const type = `response.${kind}.delta`
    const full = named(type, { item_id: 'x', delta: '{' })
    t.strictSame(classify('responses', full), { kind: 'content', open: [0] }, type)
    t.equal(screened('responses', full), 'content', `screened ${type}`)
    for (const delta of ['', null, []]) {
      t.equal(shape('responses', named(type, { delta })), 'n', `${type} ${String(delta)}`)
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
    ': keep-alive\n\n',
    'event: response.output_text.delta\ndata: no json\n\n',
  ]
  for (const event of neutral) t.equal(shape('responses', event), 'n', event)
})

t.test('responses: ends, proper and not, whatever name the end goes by', async (t) => {
  const end = { kind: 'end', content: false, finished: [0], open: [] }
  const completed = (response: object) => named('response.completed', { response })
  for (const event of [
    completed({ status: 'completed', error: null }),
    completed({ status: 'incomplete', error: null }),
    named('response.incomplete', { response: { status: 'incomplete', error: null } }),
    named('response.completed'),
  ]) {
    t.strictSame(classify('responses', event), end, event)
  }
  const error = { code: 'server_error', message: 'boom' }
  const boom = { why: 'error', message: 'boom' }
  const cases: [string, object][] = [
    [named('response.failed', { response: { error } }), boom],
    [named('response.failed'), { why: 'error', message: 'response.failed' }],
    [completed({ status: 'failed', error }), boom],
    [named('response.cancelled', { response: {} }), { why: 'abort' }],
    [completed({ status: 'cancelled' }), { why: 'abort' }],
    [named('error', { code: 'x', message: 'boom', param: null }), boom],
    [nameless({ type: 'error', message: 'boom' }), boom],
    [nameless({ error }), boom],
    ['event: error\ndata: boom\n\n', boom],
  ]
  for (const [event, expected] of cases) {
    t.match(classify('responses', event), { kind: 'error', ...expected }, event)
    t.equal(screened('responses', event), null, 'not for the screen')
  }
  t.equal(shape('responses', 'data: [DONE]\n\n'), 'd')
})

t.test('typed events: the type in the data counts, else the name', async (t) => {
  const delta = 'response.output_text.delta'
  const more = { type: delta, delta: 'x' }
  t.equal(shape('responses', nameless(more), both(delta, { delta: 'x' })), 'cc')
  t.equal(shape('responses', both('response.completed', more)), 'c')
  t.equal(shape('responses', both(delta, { type: 'response.completed' })), 'e')
  t.equal(screened('responses', both(delta, { type: 'response.completed' })), null)
  t.equal(shape('responses', both('error', more)), 'x', 'clients raise')
  t.equal(shape('messages', both('message_stop', {})), 'd')
  t.equal(screened('messages', both('message_stop', {})), null)
})

const block = (content_block: object, index = 0) =>
  named('content_block_start', { index, content_block })
const part = (delta: object, index = 0) => named('content_block_delta', { index, delta })
const stop = (stop_reason: unknown) => named('message_delta', { delta: { stop_reason } })

/** As vLLM's and llama.cpp's converters write a message with a thought, a text and a call. */
const MESSAGE = [
  named('message_start', { message: { id: 'm', content: [], stop_reason: null, usage: {} } }),
  named('ping'),
  block({ type: 'thinking', thinking: '' }),
  part({ type: 'thinking_delta', thinking: 'hm' }),
  part({ type: 'signature_delta', signature: 'f00' }),
  named('content_block_stop', { index: 0 }),
  block({ type: 'text', text: '' }, 1),
  part({ type: 'text_delta', text: 'Hi' }, 1),
  named('content_block_stop', { index: 1 }),
  block({ type: 'tool_use', id: 'c', name: 'f', input: {} }, 2),
  part({ type: 'input_json_delta', partial_json: '' }, 2),
  part({ type: 'input_json_delta', partial_json: '{"a"' }, 2),
  named('content_block_stop', { index: 2 }),
  named('message_delta', { delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 9 } }),
  named('message_stop'),
]

t.test('messages: a whole stream', async (t) => {
  t.equal(shape('messages', ...MESSAGE), 'nnnccnncnnncned')
  const sure = MESSAGE.map((event) => screened('messages', event)?.[0] ?? '?').join('')
  t.equal(sure, '???cc??c??nc???')
})

t.test('messages: the smaller rules', async (t) => {
  t.equal(shape('messages', block({ type: 'text', text: 'x' })), 'c', 'text from the start')
  t.equal(shape('messages', part({ type: 'citations_delta', citation: { a: 1 } })), 'c')
  t.equal(shape('messages', part({ type: 'text_delta', text: '' })), 'n')
  t.equal(shape('messages', named('content_block_delta', { delta: 'x' })), 'n', 'no object')
  t.equal(shape('messages', named('message_delta', { usage: {} })), 'n')
  t.equal(shape('messages', stop(null)), 'n', 'vLLM that was stopped: no end')
  for (const word of ['end_turn', 'max_tokens', 'stop_sequence', 'pause_turn', 'refusal', 'new']) {
    t.equal(shape('messages', stop(word)), 'e', word)
  }
  t.equal(shape('messages', stop('abort'), stop('error')), 'aa')
  const error = { type: 'overloaded_error', message: 'Overloaded' }
  const overloaded = { kind: 'error', why: 'error', message: 'Overloaded' }
  t.match(classify('messages', named('error', { error })), overloaded)
  t.equal(shape('messages', nameless({ type: 'error' }), nameless({ error })), 'xx')
  t.equal(shape('messages', 'data: [DONE]\n\n'), 'd')
})

t.test('json: any data may be the last, so that the framing decides', async (t) => {
  const last = { kind: 'end', content: true, finished: [0], open: [] }
  for (const one of [nameless({ a: 1 }), 'data: words\n\n']) {
    t.strictSame(classify('json', one), last)
  }
  const rest = [': x\n\n', 'event: ping\n\n', 'data: {"error":"x"}\n\n', 'data: [DONE]\n\n']
  t.equal(shape('json', ...rest), 'nnxd')
  t.equal(screened('json', nameless({ a: 1 })), null)
  t.equal(screened('json', ': x\n\n'), 'neutral')
})
