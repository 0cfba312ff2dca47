import t from 'tap'
import { judgeJson } from '../../src/api/answer.ts'
import { ANSWERS, type ApiName } from '../support/answer-apis.ts'
import { classify, event, eventsOf, fixture, screened, shape } from './events.ts'

t.test('captured streams: every event is what it is', async (t) => {
  const cases: [string, ApiName, string][] = [
    ['llamacpp-b10434-chat_stream.sse', 'chat', 'nccccccend'],
    ['llamacpp-b11434-chat_stream.sse', 'chat', 'nccccccend'],
    ['llamacpp-b11434-compl_stream.sse', 'completions', 'cccced'],
    ['ollama-0.33.0-chat_stream.sse', 'chat', 'ced'],
    ['ollama-0.33.0-compl_stream.sse', 'completions', 'cccced'],
    // No end, no [DONE]: only their absence tells.
    ['ollama-0.33.0-kill9_runner.sse', 'chat', 'cccn'],
    ['vllm-0.32.0-chat_stream.sse', 'chat', 'nncncnEnd'],
    ['vllm-0.32.0-compl_stream.sse', 'completions', 'cnned'],
    ['vllm-0.32.0-sigterm_abort.sse', 'chat', 'nad'],
    ['vllm-0.32.0-dead_core.sse', 'chat', 'nxd'],
    ['mlx-lm-0.32.2-chat_stream.sse', 'chat', 'ncend'],
    ['vllm-0.32.0-responses_stream.sse', 'responses', 'nnnnccnnne'],
    ['llamacpp-b11434-responses_stream.sse', 'responses', 'nnnncccnnne'],
  ]
  for (const [name, api, expected] of cases) {
    t.equal(shape(api, ...eventsOf(name)), expected, name)
  }
})

t.test('captured streams: the screen is sure of content and silent about ends', async (t) => {
  for (const one of eventsOf('llamacpp-b11434-chat_stream.sse').slice(1, 7)) {
    t.equal(screened('chat', one), 'content')
  }
  for (const one of eventsOf('mlx-lm-0.32.2-chat_stream.sse').slice(0, 2)) {
    t.ok(screened('chat', one), 'spaces do not make it unsure')
  }
  for (const name of ['vllm-0.32.0-sigterm_abort.sse', 'vllm-0.32.0-dead_core.sse']) {
    for (const one of eventsOf(name).slice(1)) t.equal(screened('chat', one), null, name)
  }
})

const chat = (...choices: object[]): string => event({ choices })

t.test('what is content: text, thinking, refusals, calls, sound', async (t) => {
  for (const delta of [
    { content: 'x' },
    { content: [{ type: 'text', text: 'x' }] },
    { reasoning: 'x' },
    { reasoning_content: 'x' },
    { refusal: 'x' },
    { tool_calls: [{ index: 0, function: { name: 'f', arguments: '' } }] },
    { function_call: { name: 'f' } },
    { audio: { id: 'a' } },
  ]) {
    t.equal(shape('chat', chat({ index: 0, delta })), 'c', JSON.stringify(delta))
  }
})

t.test('what proves nothing', async (t) => {
  for (const one of [
    ': keep-alive\n\n',
    ':\n',
    '\n',
    'event: ping\n\n',
    chat({ index: 0, delta: { role: 'assistant', content: '' } }),
    chat({ index: 0, delta: { role: 'assistant', content: null } }),
    chat({ index: 0, delta: { tool_calls: [] }, finish_reason: null }),
    chat({ index: 0, delta: {}, finish_reason: '' }),
    'data: {"choices":[],"usage":{"completion_tokens":3}}\n\n',
    'data: {"choices":[],"error":null}\n\n',
    'data: {"choices":null}\n\n',
    'data: {"choices":[null,3]}\n\n',
    'data: not json\n\n',
    'data: [1]\n\n',
    'data: null\n\n',
    'data\n\n',
  ]) {
    t.equal(shape('chat', one), 'n', one)
  }
})

t.test('what is an error, and what it says', async (t) => {
  const cases: [string, string][] = [
    ['data: {"error":{"message":"boom","code":500}}\n\n', 'boom'],
    ['data: {"error":"boom"}\n\n', 'boom'],
    ['data: {"error":{}}\n\n', 'The upstream reported an error.'],
    ['data: {"object":"error","message":"boom","code":400}\n\n', 'boom'],
    ['event: error\ndata: {"message":"boom"}\n\n', 'boom'],
    ['event: error\ndata: boom\n\n', 'boom'],
    ['data: {"error":\ndata: "boom"}\n\n', 'boom'],
    ['\uFEFFdata: {"error":"boom"}\r\n\r\n', 'boom'],
    ['data:{"err\\u006fr":"boom"}\r\r', 'boom'],
  ]
  for (const [one, message] of cases) {
    t.match(classify('chat', one), { kind: 'error', why: 'error', message })
    t.equal(screened('chat', one), null, `not for the screen: ${one}`)
  }
  const long = classify('chat', event({ error: 'x'.repeat(5000) }))
  t.equal(long.kind === 'error' && long.message.length, 300, 'clipped')
})

t.test('ends: proper words, improper ones, several choices', async (t) => {
  const end = { kind: 'end', content: false, finished: [2], open: [] }
  for (const finish_reason of ['stop', 'length', 'tool_calls', 'content_filter', 'repetition']) {
    t.strictSame(classify('chat', chat({ index: 2, delta: {}, finish_reason })), end)
  }
  for (const finish_reason of ['abort', 'error']) {
    const one = chat({ index: 0, delta: { content: 'x' }, finish_reason })
    t.match(classify('chat', one), { kind: 'error', why: 'abort' })
  }
  const two = chat(
    { index: 0, delta: { content: 'last' }, finish_reason: 'stop' },
    { index: 1, delta: { content: 'more' }, finish_reason: null },
  )
  t.strictSame(classify('chat', two), { kind: 'end', content: true, finished: [0], open: [1] })
  const first = { kind: 'content', open: [0] }
  t.strictSame(classify('completions', chat({ text: 'x' })), first, 'without an index: the first')
})

t.test('[DONE] as clients know it', async (t) => {
  t.equal(shape('chat', 'data: [DONE]\n\n', 'data:[DONE]\r\n\r\n', 'data: [DONE] \n\n'), 'ddd')
  t.equal(shape('chat', ': [DONE]\n\n'), 'n')
  t.equal(screened('chat', 'data: [DONE]\n\n'), null)
})

t.test('a __proto__ key is a key like any other', async (t) => {
  t.equal(shape('chat', 'data: {"__proto__":{"error":"x"},"choices":[]}\n\n'), 'n')
  t.equal(shape('chat', 'data: {"choices":[{"delta":{"__proto__":{"content":"x"}}}]}\n\n'), 'c')
})

t.test('judgeJson: captured answers', async (t) => {
  const cases: [ApiName, string][] = [
    ['chat', 'llamacpp-b11434-chat_unary_1tok.json'],
    ['chat', 'vllm-0.32.0-chat_unary_1tok.json'],
    ['chat', 'mlx-lm-0.32.2-chat_unary_1tok.json'],
    ['chat', 'vllm-metal-0.1.0-chat_unary_1tok.json'],
    ['responses', 'vllm-0.32.0-responses.json'],
    ['responses', 'llamacpp-b11434-responses.json'],
    ['responses', 'ollama-0.33.0-responses.json'],
    ['messages', 'vllm-0.32.0-messages.json'],
    ['messages', 'llamacpp-b11434-messages.json'],
    ['messages', 'ollama-0.33.0-messages.json'],
    ['json', 'vllm-0.32.0-tokenize.json'],
  ]
  for (const [api, name] of cases) t.equal(judgeJson(ANSWERS[api], fixture(name)), null, name)
  const error = judgeJson(ANSWERS.embeddings, fixture('llamacpp-b11434-embeddings_501.json'))
  t.match(error, { why: 'error', message: /does not support embeddings/ })
})

t.test('judgeJson: every way to be an answer, or none', async (t) => {
  const cases: [ApiName, string, string | true][] = [
    ['chat', '', 'empty'],
    ['chat', ' \r\n', 'empty'],
    ['chat', '<html>', 'not_json'],
    ['chat', '[]', 'not_json'],
    ['chat', '"x"', 'not_json'],
    ['chat', '{"choices":[', 'not_json'],
    ['chat', '{}', 'no_choices'],
    ['chat', '{"choices":[]}', 'no_choices'],
    ['chat', '{"choices":[null]}', 'no_choices'],
    ['chat', '{"error":"x","choices":[{}]}', 'error'],
    ['chat', '{"object":"error","message":"x"}', 'error'],
    // vLLM after SIGTERM, with status 200.
    ['chat', '{"choices":[{"message":{"content":"half"},"finish_reason":"abort"}]}', 'abort'],
    ['completions', '{"choices":[{"finish_reason":"stop"},{"finish_reason":"error"}]}', 'abort'],
    ['embeddings', '{"data":[]}', 'no_choices'],
    ['embeddings', '{"error":null,"data":[{"embedding":[0.1]}]}', true],
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
  ]
  for (const [api, body, expected] of cases) {
    const verdict = judgeJson(ANSWERS[api], Buffer.from(body))
    t.equal(verdict?.why ?? true, expected, `${api} ${body}`)
    if (body.includes('boom')) t.match(verdict, { message: 'boom' })
  }
})
