import * as fc from 'fast-check'
import t from 'tap'
import type { EndRule } from '../../src/core/health/evidence.ts'
import { judgeBody } from '../../src/probe/answer-body.ts'
import { BodyReader, FormReader } from '../../src/proxy/answer/reader.ts'
import { StreamReader } from '../../src/proxy/answer/stream-reader.ts'
import { ANSWERS } from '../support/answer-apis.ts'
import { holds } from '../support/property.ts'
import { outcomeLabel } from '../../src/core/health/evidence.ts'
import { quirksOf } from '../../src/engines/index.ts'
import type { ProbeKind } from '../../src/api/index.ts'
import { verdict } from '../../src/probe/verdict.ts'
import type { WireAnswer } from '../../src/probe/wire.ts'

function judge(answer: WireAnswer, kind: ProbeKind = 'chat') {
  return verdict(answer, { kind, quirks: quirksOf('openai'), latencyMs: 7 })
}

function answer(status: number, body: unknown, contentType = 'application/json'): WireAnswer {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return { kind: 'answer', status, contentType, body: Buffer.from(text) }
}

function chunk(part: object): string {
  return `data: ${JSON.stringify(part)}\n\n`
}

const CHOICE = { index: 0, message: { content: '' }, finish_reason: 'stop' }

// Bodies of a 200, in words.
const BODIES: readonly [what: string, body: unknown, label: string, detail: string][] = [
  [
    'a token and no reason',
    { choices: [{ finish_reason: null }], usage: { completion_tokens: 1 } },
    'pass',
    '',
  ],
  ['a reason and no usage', { choices: [CHOICE] }, 'pass', ''],
  ['no token but a proper end', { choices: [CHOICE], usage: { completion_tokens: 0 } }, 'pass', ''],
  ['a tool call', { choices: [{ ...CHOICE, finish_reason: 'tool_calls' }] }, 'pass', ''],
  ['error: null', { error: null, choices: [CHOICE] }, 'pass', ''],
  [
    'no token, no reason',
    { choices: [{}], usage: { completion_tokens: 0 } },
    'invalid_response',
    'no_proof',
  ],
  ['an unknown word as a reason', { choices: [{ finish_reason: 'eos' }] }, 'pass', ''],
  ['a filter', { choices: [{ finish_reason: 'content_filter' }] }, 'pass', ''],
  ['text and no reason', { choices: [{ message: { content: 'a' } }] }, 'pass', ''],
  ['reasoning alone', { choices: [{ message: { content: '', thinking: 'a' } }] }, 'pass', ''],
  ['an empty reason', { choices: [{ finish_reason: '' }] }, 'invalid_response', 'no_proof'],
  [
    'text and abort',
    { choices: [{ message: { content: 'a' }, finish_reason: 'abort' }] },
    'invalid_response',
    'finish_abort',
  ],
  ['a mistake that it names', { error: { message: 'x', code: 400 } }, 'bad_request', 'http_400'],
  [
    'abort',
    { choices: [{ finish_reason: 'abort' }], usage: { completion_tokens: 9 } },
    'invalid_response',
    'finish_abort',
  ],
  [
    'error as a reason',
    { choices: [{ finish_reason: 'error' }] },
    'invalid_response',
    'finish_error',
  ],
  [
    'error object',
    { error: { message: 'x' }, choices: [CHOICE] },
    'invalid_response',
    'error_body',
  ],
  ['error text', { error: 'x' }, 'invalid_response', 'error_body'],
  ['SGLang error', { object: 'error', message: 'x' }, 'invalid_response', 'error_body'],
  [
    'no choices',
    { choices: [], usage: { completion_tokens: 1 } },
    'invalid_response',
    'no_choices',
  ],
  ['nothing', '', 'invalid_response', 'empty_body'],
  ['blanks', ' \n', 'invalid_response', 'empty_body'],
  ['HTML', '<html>', 'invalid_response', 'not_json'],
  ['half a body', '{"choices":[{"finish_re', 'invalid_response', 'not_json'],
  ['an array', [], 'invalid_response', 'not_json'],
  ['null', 'null', 'invalid_response', 'not_json'],
]

t.test('judgeBody() on 2xx bodies: content, usage or a reason proves, nothing else', async (t) => {
  for (const [what, body, label, detail] of BODIES) {
    const outcome = judge(answer(200, body))
    t.equal(outcomeLabel(outcome), label, what)
    if (outcome.kind === 'fail') t.equal(outcome.detail, detail, what)
  }
})

t.test('judgeBody() of a pass carries latency and tokens', async (t) => {
  const body = { choices: [CHOICE], usage: { completion_tokens: 2 } }
  t.strictSame(judge(answer(200, body)), { kind: 'pass', latencyMs: 7, tokens: 2 })
})

t.test('judgeBody() on embeddings: data proves, though no generation', async (t) => {
  t.equal(judge(answer(200, { data: [{ embedding: [1] }] }), 'embeddings').kind, 'embeds')
  t.equal(outcomeLabel(judge(answer(200, { data: [] }), 'embeddings')), 'invalid_response')
  t.equal(outcomeLabel(judge(answer(200, { choices: [CHOICE] }), 'embeddings')), 'invalid_response')
})

t.test('judgeBody() on streams: by the rule for traffic', async (t) => {
  const delta = chunk({ choices: [{ delta: { content: 'x' }, finish_reason: null }] })
  const end = chunk({ choices: [{ delta: {}, finish_reason: 'stop' }] })
  const done = 'data: [DONE]\n\n'
  const rows: readonly [string, string, string][] = [
    ['proper', delta + end + done, 'pass'],
    ['without [DONE]', delta + end, 'pass'],
    ['comments between', `: ping\n\n${delta}: ping\n\n${end}${done}`, 'pass'],
    ['no reason', delta + done, 'pass'],
    ['nothing but [DONE]', done, 'truncated'],
    ['text that is cut', delta, 'truncated'],
    ['a field error', 'error: {"message":"x"}\n\n', 'invalid_response'],
    ['running totals', chunk({ choices: [{}], usage: { completion_tokens: 9 } }), 'truncated'],
    ['only comments', ': ping\n\n: ping\n\n', 'truncated'],
    [
      'error frame and [DONE]',
      delta + chunk({ error: { message: 'x' } }) + done,
      'invalid_response',
    ],
    ['abort', delta + chunk({ choices: [{ finish_reason: 'abort' }] }) + done, 'invalid_response'],
    ['garbage', 'data: {"choi\n\n', 'invalid_response'],
  ]
  for (const [what, body, label] of rows) {
    t.equal(outcomeLabel(judge(answer(200, body, 'text/event-stream'))), label, what)
    t.equal(outcomeLabel(judge(answer(200, body))), label, `${what}, whatever the type says`)
  }
})

// What traffic makes of the same bytes with the same label.
function readsAsTraffic(text: string, type: string, endRule: EndRule): string {
  const options = { api: ANSWERS.chat, model: null, endRule }
  const reader = new FormReader(type === 'text/event-stream' ? 'events' : 'json', {
    either: true,
    readerFor: (form) => (form === 'events' ? new StreamReader(options) : new BodyReader(options)),
  })
  const first = reader.push(Buffer.from(text))
  if (first.failure !== null) return first.failure.code
  if (reader.complete()) return 'whole'
  return reader.end().failure?.code ?? 'whole'
}

/** What traffic ends with where a probe finds this; absent: one code for all other faults. */
const CODE_OF: Readonly<Record<string, string>> = {
  finish_abort: 'upstream_truncated',
  finish_error: 'upstream_truncated',
  unfinished: 'upstream_truncated',
  error_body: 'upstream_error',
}

t.test('judgeBody() takes for an answer what traffic takes for one', async (t) => {
  const choice = fc.record(
    {
      index: fc.nat(1),
      delta: fc.record({ content: fc.constantFrom('', 'x') }, { requiredKeys: [] }),
      message: fc.record({ content: fc.constantFrom('', 'x') }, { requiredKeys: [] }),
      finish_reason: fc.constantFrom(null, '', 'stop', 'eos', 'max_len', 'abort', 'error'),
      error: fc.constantFrom<unknown>(null, null, null, null, { message: 'x' }),
    },
    { requiredKeys: [] },
  )
  const body = fc.record(
    {
      choices: fc.array(choice, { maxLength: 2 }),
      error: fc.constantFrom<unknown>(null, null, null, '', '', 'x', {}),
      usage: fc.record({ completion_tokens: fc.constantFrom(0, 1) }),
    },
    { requiredKeys: ['choices'] },
  )
  const event = fc.oneof(
    { weight: 6, arbitrary: body.map((it) => `data: ${JSON.stringify(it)}\n\n`) },
    fc.constantFrom(
      'data: [DONE]\n\n',
      ': ping\n\n',
      'data: {"choi\n\n',
      'event: error\ndata: x\n\n',
    ),
  )
  const stream = fc
    .tuple(fc.array(event, { maxLength: 4 }), fc.nat(3))
    .map(([events, cut]) => events.join('').slice(0, cut === 0 ? -9 : undefined))
  const text = fc.oneof(
    stream,
    body.map((it) => JSON.stringify(it)),
    fc.constantFrom('', '<html>'),
  )
  const types = fc.constantFrom('text/event-stream', 'application/json')
  const rules = fc.constantFrom<EndRule>('finish_reason', 'done', 'learn')
  const seen = new Map<string, number>()
  const law = fc.property(text, types, rules, (text, contentType, endRule) => {
    const context = { kind: 'chat', contentType, endRule } as const
    const judged = judgeBody(context, Buffer.from(text))
    const traffic = readsAsTraffic(text, contentType, endRule)
    const found = judged.kind === 'invalid' ? judged.why : judged.kind
    seen.set(found, (seen.get(found) ?? 0) + 1)
    if (found === 'generated') return traffic === 'whole'
    // A whole answer may be a client's business and yet prove nothing.
    if (found === 'no_proof') return traffic === 'whole'
    return traffic !== 'whole' && (CODE_OF[found] ?? traffic) === traffic
  })
  holds(t, 'the same verdict on random answers', law, 5000)
  for (const found of ['generated', 'unfinished', 'error_body', 'finish_abort', 'no_proof']) {
    t.ok((seen.get(found) ?? 0) > 20, `${found} was among them: ${seen.get(found)}`)
  }
})

t.test(
  'judgeBody(): an unusual last word and no tokens pass a probe and traffic alike',
  async (t) => {
    const whole = JSON.stringify({ choices: [{ message: {}, finish_reason: 'eos_token' }] })
    const stream = `data: ${JSON.stringify({ choices: [{ delta: {}, finish_reason: 'eos_token' }] })}\n\n`
    for (const [text, contentType] of [
      [whole, 'application/json'],
      [stream, 'text/event-stream'],
    ] as const) {
      t.equal(readsAsTraffic(text, contentType, 'finish_reason'), 'whole')
      const context = { kind: 'chat', contentType, endRule: 'finish_reason' } as const
      t.equal(judgeBody(context, Buffer.from(text)).kind, 'generated')
    }
  },
)
