import { readFileSync } from 'node:fs'
import t from 'tap'
import { classifyEvent, judgeJson } from '../../src/api/answer.ts'
import { screenEvent } from '../../src/api/screen.ts'
import { ANSWERS, type ApiName } from '../support/answer-apis.ts'

const FIXTURES = new URL('../fixtures/wire-events/', import.meta.url)
const fixture = (name: string): Buffer => readFileSync(new URL(name, FIXTURES))

/** The events of a captured stream, cut the plain way. */
function eventsOf(name: string): Buffer[] {
  const parts = fixture(name)
    .toString('latin1')
    .split(/(?<=\n\n)/)
  return parts.map((part) => Buffer.from(part, 'latin1'))
}

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
  ]
  for (const [name, api, expected] of cases) {
    t.equal(shape(api, eventsOf(name)), expected, name)
  }
})

t.test('captured streams: the screen is sure of content and silent about ends', async (t) => {
  for (const event of eventsOf('llamacpp-b11434-chat_stream.sse').slice(1, 7)) {
    t.equal(screenEvent(ANSWERS.chat, event)?.kind, 'content')
  }
  for (const event of eventsOf('mlx-lm-0.32.2-chat_stream.sse').slice(0, 2)) {
    t.ok(screenEvent(ANSWERS.chat, event), 'spaces do not make it unsure')
  }
  for (const name of ['vllm-0.32.0-sigterm_abort.sse', 'vllm-0.32.0-dead_core.sse']) {
    for (const event of eventsOf(name).slice(1))
      t.equal(screenEvent(ANSWERS.chat, event), null, name)
  }
})

const chat = (choice: object): string => `data: ${JSON.stringify({ choices: [choice] })}\n\n`
const chatKind = (event: string): string => classifyEvent(ANSWERS.chat, Buffer.from(event)).kind

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
    t.equal(chatKind(chat({ index: 0, delta })), 'content', JSON.stringify(delta))
  }
})

t.test('what proves nothing', async (t) => {
  for (const event of [
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
    t.equal(chatKind(event), 'neutral', event)
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
  for (const [event, message] of cases) {
    t.match(classifyEvent(ANSWERS.chat, Buffer.from(event)), {
      kind: 'error',
      why: 'error',
      message,
    })
    t.equal(screenEvent(ANSWERS.chat, Buffer.from(event)), null, `not for the screen: ${event}`)
  }
  const long = classifyEvent(ANSWERS.chat, Buffer.from(`data: {"error":"${'x'.repeat(5000)}"}\n\n`))
  t.equal(long.kind === 'error' && long.message.length, 300, 'clipped')
})

t.test('ends: proper words, improper ones, several choices', async (t) => {
  for (const finish_reason of ['stop', 'length', 'tool_calls', 'content_filter', 'repetition']) {
    t.strictSame(
      classifyEvent(ANSWERS.chat, Buffer.from(chat({ index: 2, delta: {}, finish_reason }))),
      {
        kind: 'end',
        content: false,
        finished: [2],
        open: [],
      },
    )
  }
  for (const finish_reason of ['abort', 'error']) {
    const verdict = classifyEvent(
      ANSWERS.chat,
      Buffer.from(chat({ index: 0, delta: { content: 'x' }, finish_reason })),
    )
    t.match(verdict, { kind: 'error', why: 'abort' })
  }
  const two = {
    choices: [
      { index: 0, delta: { content: 'last' }, finish_reason: 'stop' },
      { index: 1, delta: { content: 'more' }, finish_reason: null },
    ],
  }
  t.strictSame(classifyEvent(ANSWERS.chat, Buffer.from(`data: ${JSON.stringify(two)}\n\n`)), {
    kind: 'end',
    content: true,
    finished: [0],
    open: [1],
  })
  t.strictSame(
    classifyEvent(ANSWERS.completions, Buffer.from('data: {"choices":[{"text":"x"}]}\n\n')),
    { kind: 'content', open: [0] },
    'a choice without index is the first',
  )
})

t.test('[DONE] as clients know it', async (t) => {
  t.equal(chatKind('data: [DONE]\n\n'), 'done')
  t.equal(chatKind('data:[DONE]\r\n\r\n'), 'done')
  t.equal(chatKind('data: [DONE] \n\n'), 'done')
  t.equal(chatKind(': [DONE]\n\n'), 'neutral')
  t.equal(screenEvent(ANSWERS.chat, Buffer.from('data: [DONE]\n\n')), null)
})

t.test('a __proto__ key is a key like any other', async (t) => {
  t.equal(chatKind('data: {"__proto__":{"error":"x"},"choices":[]}\n\n'), 'neutral')
  t.equal(chatKind('data: {"choices":[{"delta":{"__proto__":{"content":"x"}}}]}\n\n'), 'content')
})

t.test('judgeJson: captured answers', async (t) => {
  for (const name of [
    'llamacpp-b11434-chat_unary_1tok.json',
    'vllm-0.32.0-chat_unary_1tok.json',
    'mlx-lm-0.32.2-chat_unary_1tok.json',
    'vllm-metal-0.1.0-chat_unary_1tok.json',
  ]) {
    t.strictSame(judgeJson(ANSWERS.chat, fixture(name)), null, name)
  }
  const error = judgeJson(ANSWERS.embeddings, fixture('llamacpp-b11434-embeddings_501.json'))
  t.match(error, { why: 'error', message: /does not support embeddings/ })
})

t.test('judgeJson: every way to be no answer', async (t) => {
  const cases: [ApiName, string, string][] = [
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
  ]
  for (const [api, body, why] of cases) {
    t.match(judgeJson(ANSWERS[api], Buffer.from(body)), { why }, body)
  }
  const ok = '{"error":null,"data":[{"embedding":[0.1]}]}'
  t.strictSame(judgeJson(ANSWERS.embeddings, Buffer.from(ok)), null)
})
