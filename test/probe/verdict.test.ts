import t from 'tap'
import { evidenceOf } from '../../src/core/exchange/ending.ts'
import { failedByTransport } from '../../src/proxy/upstream/failed.ts'
import { type EndRule, legacyProbeReason, outcomeLabel } from '../../src/core/health/evidence.ts'
import type { EngineKind } from '../../src/core/upstream.ts'
import { quirksOf } from '../../src/engines/index.ts'
import type { ProbeKind } from '../../src/api/index.ts'
import { judgeBody, ofBreak, verdict } from '../../src/probe/verdict.ts'
import type { Phase, WireAnswer } from '../../src/probe/wire.ts'
import { capture } from './captures.ts'
import { BodyReader } from '../../src/proxy/answer/reader.ts'
import { FormReader, StreamReader } from '../../src/proxy/answer/stream-reader.ts'
import { ANSWERS } from '../support/answer-apis.ts'
import { holds } from '../support/property.ts'
import * as fc from 'fast-check'

interface Way {
  readonly engine?: EngineKind
  readonly kind?: ProbeKind
}

function judge(answer: WireAnswer, { engine = 'openai', kind = 'chat' }: Way = {}) {
  return verdict(answer, { kind, quirks: quirksOf(engine), latencyMs: 7 })
}

function answer(status: number, body: unknown, contentType = 'application/json'): WireAnswer {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return { kind: 'answer', status, contentType, body: Buffer.from(text) }
}

// What real engines said, and what it means.
const SEEN: readonly [
  capture: string,
  engine: EngineKind,
  label: string,
  way?: { at?: number; kind?: ProbeKind },
][] = [
  ['vllm-0.32.0/chat_unary', 'vllm', 'pass'],
  // One token without text.
  ['vllm-0.32.0/chat_unary_1tok', 'vllm', 'pass'],
  ['vllm-0.32.0/chat_nomodel', 'vllm', 'pass'],
  ['vllm-0.32.0/compl_unary', 'vllm', 'pass', { kind: 'completions' }],
  ['vllm-0.32.0/chat_stream_1tok', 'vllm', 'pass'],
  ['vllm-0.32.0/compl_stream', 'vllm', 'pass', { kind: 'completions' }],
  ['vllm-0.32.0/embeddings', 'vllm', 'wrong_kind', { kind: 'embeddings' }],
  ['vllm-0.32.0/err_404', 'vllm', 'wrong_kind'],
  ['vllm-0.32.0/err_method', 'vllm', 'wrong_kind'],
  ['vllm-0.32.0/err_badmodel', 'vllm', 'model_not_found'],
  ['vllm-0.32.0/err_badjson', 'vllm', 'bad_request'],
  ['vllm-0.32.0/queue_overflow', 'vllm', 'pass'],
  ['vllm-0.32.0/queue_overflow', 'vllm', 'busy', { at: 1 }],
  // 200 and [DONE], but it was shutting down.
  ['vllm-0.32.0/sigterm_inflight', 'vllm', 'invalid_response'],
  ['vllm-metal-0.1.0-pypi/chat_unary_1tok', 'vllm_metal', 'pass'],
  ['vllm-metal-0.1.0-pypi/chat_stream_1tok', 'vllm_metal', 'pass'],
  ['vllm-metal-0.1.0-pypi/err_nomodel', 'vllm_metal', 'bad_request'],
  ['vllm-metal-0.1.0-pypi/err_404', 'vllm_metal', 'wrong_kind'],
  ['mlx-lm-0.32.2/chat_unary_1tok', 'mlx', 'pass'],
  ['mlx-lm-0.32.2/chat_nomodel', 'mlx', 'pass'],
  ['mlx-lm-0.32.2/chat_stream_1tok', 'mlx', 'pass'],
  ['mlx-lm-0.32.2/compl_unary', 'mlx', 'pass', { kind: 'completions' }],
  ['mlx-lm-0.32.2/err_404', 'mlx', 'wrong_kind'],
  ['mlx-lm-0.32.2/err_badmodel', 'mlx', 'model_not_found'],
  ['mlx-lm-0.32.2/err_badparam', 'mlx', 'bad_request'],
  ['mlx-lm-0.32.2/err_chunked_body', 'mlx', 'bad_request'],
  ['mlx-lm-0.32.2/models', 'mlx', 'invalid_response'],
  ['ollama-0.33.0-rc2/chat_unary_1tok', 'ollama', 'pass'],
  ['ollama-0.33.0-rc2/chat_stream_1tok', 'ollama', 'pass'],
  ['ollama-0.33.0-rc2/compl_unary', 'ollama', 'pass', { kind: 'completions' }],
  ['ollama-0.33.0-rc2/embeddings', 'ollama', 'wrong_kind', { kind: 'embeddings' }],
  ['ollama-0.33.0-rc2/err_404', 'ollama', 'wrong_kind'],
  ['ollama-0.33.0-rc2/err_method', 'ollama', 'wrong_kind'],
  ['ollama-0.33.0-rc2/err_badmodel', 'ollama', 'model_not_found'],
  ['ollama-0.33.0-rc2/err_nomodel', 'ollama', 'bad_request'],
  ['ollama-0.33.0-rc2/err_host', 'ollama', 'unauthorized'],
  // A killed runner: a clean end of the stream, without a reason.
  ['ollama-0.33.0-rc2/kill9_midstream_raw', 'ollama', 'truncated'],
  ['ollama-0.33.0-rc2/kill9_unary_raw', 'ollama', 'http_5xx'],
  ['ollama-0.33.0-rc2/broken_runner', 'ollama', 'http_5xx', { at: 1 }],
  ['llamacpp-b10434/chat_unary_1tok', 'llamacpp', 'pass'],
  ['llamacpp-b10434/err_badjson', 'llamacpp', 'http_5xx'],
  ['llamacpp-b11434/chat_unary_1tok', 'llamacpp', 'pass'],
  ['llamacpp-b11434/chat_stream_1tok', 'llamacpp', 'pass'],
  ['llamacpp-b11434/compl_unary', 'llamacpp', 'pass', { kind: 'completions' }],
  ['llamacpp-b11434/embeddings', 'llamacpp', 'wrong_kind', { kind: 'embeddings' }],
  ['llamacpp-b11434/err_404', 'llamacpp', 'wrong_kind'],
  ['llamacpp-b11434/err_badjson', 'llamacpp', 'bad_request'],
  ['llamacpp-b11434/err_toolong', 'llamacpp', 'bad_request'],
  ['llamacpp-b11434/loading', 'llamacpp', 'loading', { at: 2 }],
  ['llamacpp-b11434/apikey', 'llamacpp', 'unauthorized', { at: 6 }],
]

t.test('verdict() on what real engines said', async (t) => {
  for (const [name, engine, label, way = {}] of SEEN) {
    const { at = 0, kind = 'chat' } = way
    t.equal(outcomeLabel(judge(capture(name, at), { engine, kind })), label, `${name} ${at}`)
  }
})

t.test('verdict() on statuses: the table of the rules', async (t) => {
  const rows: Readonly<Record<string, readonly number[]>> = {
    invalid_response: [204, 301, 304],
    bad_request: [400, 413, 422],
    unauthorized: [401, 403],
    wrong_kind: [404, 405, 501],
    busy: [408, 429, 503],
    http_5xx: [500, 502, 504],
  }
  for (const [label, statuses] of Object.entries(rows)) {
    for (const status of statuses) {
      const outcome = judge(answer(status, ''))
      t.equal(outcomeLabel(outcome), label, String(status))
      if (status !== 204) t.match(outcome, { detail: `http_${status}` })
    }
  }
  t.equal(legacyProbeReason(judge(answer(500, 'x'))), 'http_500')
})

t.test('verdict() carries one sentence of a refusal, and of the body nothing else', async (t) => {
  for (const status of [200, 302, 400, 401, 404, 429, 500, 503]) {
    const error = { message: 'model not found', param: 'SECRET' }
    const outcome = judge(answer(status, { error, more: 'SECRET' }))
    t.notMatch(JSON.stringify(outcome), 'SECRET')
    t.notMatch(outcomeLabel(outcome), 'not found')
  }
})

t.test('verdict(): mlx-lm answers 404 to every exception, which is no missing route', async (t) => {
  const outcome = judge(answer(404, { error: 'generation thread died' }), { engine: 'mlx' })
  const said = 'generation thread died'
  t.strictSame(outcome, { kind: 'fail', reason: 'http_5xx', detail: 'http_404', said })
})

t.test('verdict(): 400 for an unknown model of a llama.cpp router', async (t) => {
  const error = { code: 400, message: "model 'x' not found", type: 'invalid_request_error' }
  const outcome = judge(answer(400, { error }), { engine: 'llamacpp' })
  t.equal(outcomeLabel(outcome), 'model_not_found')
})

t.test('verdict() on broken connections', async (t) => {
  const unreachable = ['ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'CERT_HAS_EXPIRED']
  const cut = ['ECONNRESET', 'UND_ERR_SOCKET']
  const mismatch = 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
  const rows: readonly [label: string, Phase, codes: readonly string[]][] = [
    ['refused', 'connect', ['ECONNREFUSED']],
    ['unreachable', 'connect', ['UND_ERR_CONNECT_TIMEOUT', ...unreachable]],
    ['unreachable', 'waiting', cut],
    ['truncated', 'body', [...cut, mismatch, 'HPE_INVALID_EOF_STATE']],
    ['invalid_response', 'waiting', ['HPE_INVALID_CONSTANT', 'UND_ERR_HEADERS_OVERFLOW']],
    ['invalid_response', 'body', ['UND_ERR_RES_EXCEEDED_MAX_SIZE']],
    ['inconclusive', 'connect', ['ENOTFOUND', 'EAI_AGAIN', 'EMFILE', 'ENFILE']],
    ['inconclusive', 'waiting', ['ABORTED']],
    ['inconclusive', 'body', ['ABORTED']],
  ]
  for (const [label, phase, codes] of rows) {
    for (const code of codes) {
      t.equal(outcomeLabel(ofBreak(code, phase)), label, `${code} ${phase}`)
      t.match(ofBreak(code, phase), { detail: code })
    }
  }
})

t.test('ofBreak() blames an upstream for what traffic blames it for', async (t) => {
  const theirs = ['ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'HPE_INVALID_CONSTANT']
  const undici = [
    'CONNECT_TIMEOUT',
    'HEADERS_OVERFLOW',
    'RES_CONTENT_LENGTH_MISMATCH',
    'INVALID_ARG',
  ]
  const ours = ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN']
  const codes = [...theirs, ...undici.map((name) => `UND_ERR_${name}`), ...ours]
  const what = { at: 2, sentAt: 1, streamed: true, work: 'generation' } as const
  for (const code of codes) {
    const { kind } = ofBreak(code, 'waiting')
    const evidence = evidenceOf(failedByTransport(Object.assign(new Error('x'), { code })), what)
    t.equal(evidence === null, kind === 'inconclusive', code)
  }
})

t.test('verdict(): a refusal that breaks in its body is still a refusal', async (t) => {
  const cut = { kind: 'broken', code: 'ECONNRESET', phase: 'body' } as const
  t.equal(outcomeLabel(judge({ ...cut, status: 500 })), 'http_5xx')
  t.equal(outcomeLabel(judge({ ...cut, status: 200 })), 'truncated')
})

t.test('verdict() keeps the engine’s own sentence on one line, and no more of it', async (t) => {
  const said = (body: unknown) => judge(answer(400, body))
  t.match(said({ error: { message: 'no chat\n template' } }), { said: 'no chat template' })
  t.match(said({ error: { message: 'x'.repeat(9_000) } }), { said: 'x'.repeat(2_000) })
  t.notOk('said' in said({ error: { code: 7 } }))
  t.notOk('said' in judge(answer(503, { error: { message: 'busy' } })))
})

t.test('verdict() ends a stream by the rule that holds for the traffic there', async (t) => {
  const event = chunk({ choices: [{ index: 0, delta: { content: 'OK' } }] })
  const streamed = answer(200, `${event}data: [DONE]\n\n`, 'text/event-stream')
  const by = (endRule: 'done' | 'finish_reason') =>
    verdict(streamed, { kind: 'chat', quirks: quirksOf('vllm'), endRule, latencyMs: 7 }).kind
  t.equal(by('finish_reason'), 'fail')
  t.equal(by('done'), 'pass')
})

function chunk(part: object): string {
  return `data: ${JSON.stringify(part)}\n\n`
}

const CHOICE = { index: 0, message: { content: '' }, finish_reason: 'stop' }

const tokens = (completion_tokens: number) => ({ usage: { completion_tokens } })
const one = (choice: object, more: object = {}) => ({ choices: [choice], ...more })
const ends = (finish_reason: unknown, more?: object) => one({ finish_reason }, more)

// Bodies of a 200, in words; what is no pass has its label and its detail.
const BODIES: readonly [what: string, body: unknown, found: string][] = [
  ['a token and no reason', ends(null, tokens(1)), 'pass'],
  ['a reason and no usage', one(CHOICE), 'pass'],
  ['no token but a proper end', one(CHOICE, tokens(0)), 'pass'],
  ['a tool call', one({ ...CHOICE, finish_reason: 'tool_calls' }), 'pass'],
  ['error: null', { error: null, choices: [CHOICE] }, 'pass'],
  ['no token, no reason', one({}, tokens(0)), 'invalid_response no_proof'],
  ['an unknown word as a reason', ends('eos'), 'pass'],
  ['a filter', ends('content_filter'), 'pass'],
  ['text and no reason', one({ message: { content: 'a' } }), 'pass'],
  ['reasoning alone', one({ message: { content: '', thinking: 'a' } }), 'pass'],
  ['an empty reason', ends(''), 'invalid_response no_proof'],
  [
    'text and abort',
    one({ message: { content: 'a' }, finish_reason: 'abort' }),
    'invalid_response finish_abort',
  ],
  ['a mistake that it names', { error: { message: 'x', code: 400 } }, 'bad_request http_400'],
  ['abort', ends('abort', tokens(9)), 'invalid_response finish_abort'],
  ['error as a reason', ends('error'), 'invalid_response finish_error'],
  ['error object', one(CHOICE, { error: { message: 'x' } }), 'invalid_response error_body'],
  ['error text', { error: 'x' }, 'invalid_response error_body'],
  ['SGLang error', { object: 'error', message: 'x' }, 'invalid_response error_body'],
  ['no choices', { choices: [], ...tokens(1) }, 'invalid_response no_choices'],
  ['nothing', '', 'invalid_response empty_body'],
  ['blanks', ' \n', 'invalid_response empty_body'],
  ['HTML', '<html>', 'invalid_response not_json'],
  ['half a body', '{"choices":[{"finish_re', 'invalid_response not_json'],
  ['an array', [], 'invalid_response not_json'],
  ['null', 'null', 'invalid_response not_json'],
]

t.test('judgeBody() on 2xx bodies: content, usage or a reason proves, nothing else', async (t) => {
  for (const [what, body, found] of BODIES) {
    const outcome = judge(answer(200, body))
    const detail = outcome.kind === 'fail' ? ` ${outcome.detail}` : ''
    t.equal(`${outcomeLabel(outcome)}${detail}`, found, what)
  }
})

t.test('judgeBody() of a pass carries latency and tokens', async (t) => {
  const body = { choices: [CHOICE], usage: { completion_tokens: 2 } }
  t.strictSame(judge(answer(200, body)), { kind: 'pass', latencyMs: 7, tokens: 2 })
})

t.test('judgeBody() on embeddings: data proves, though no generation', async (t) => {
  t.equal(judge(answer(200, { data: [{ embedding: [1] }] }), { kind: 'embeddings' }).kind, 'embeds')
  for (const body of [{ data: [] }, one(CHOICE)]) {
    const outcome = judge(answer(200, body), { kind: 'embeddings' })
    t.equal(outcomeLabel(outcome), 'invalid_response')
  }
})

t.test('judgeBody() on streams: by the rule for traffic', async (t) => {
  const delta = chunk(one({ delta: { content: 'x' }, finish_reason: null }))
  const end = chunk(one({ delta: {}, finish_reason: 'stop' }))
  const error = chunk({ error: { message: 'x' } })
  const done = 'data: [DONE]\n\n'
  const rows: readonly [string, string, string][] = [
    ['proper', delta + end + done, 'pass'],
    ['without [DONE]', delta + end, 'pass'],
    ['comments between', `: ping\n\n${delta}: ping\n\n${end}${done}`, 'pass'],
    ['no reason', delta + done, 'pass'],
    ['nothing but [DONE]', done, 'truncated'],
    ['text that is cut', delta, 'truncated'],
    ['a field error', 'error: {"message":"x"}\n\n', 'invalid_response'],
    ['running totals', chunk(one({}, tokens(9))), 'truncated'],
    ['only comments', ': ping\n\n: ping\n\n', 'truncated'],
    ['error frame and [DONE]', delta + error + done, 'invalid_response'],
    ['abort', delta + chunk(ends('abort')) + done, 'invalid_response'],
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
  const reader = new FormReader(type === 'text/event-stream' ? 'events' : 'json', true, (form) =>
    form === 'events' ? new StreamReader(options) : new BodyReader(options),
  )
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
  const said = fc.record({ content: fc.constantFrom('', 'x') }, { requiredKeys: [] })
  const choice = fc.record(
    {
      index: fc.nat(1),
      delta: said,
      message: said,
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
  const rest = ['data: [DONE]\n\n', ': ping\n\n', 'data: {"choi\n\n', 'event: error\ndata: x\n\n']
  const event = fc.oneof({ weight: 6, arbitrary: body.map(chunk) }, fc.constantFrom(...rest))
  const stream = fc
    .tuple(fc.array(event, { maxLength: 4 }), fc.nat(3))
    .map(([events, cut]) => events.join('').slice(0, cut === 0 ? -9 : undefined))
  const whole = body.map((it) => JSON.stringify(it))
  const text = fc.oneof(stream, whole, fc.constantFrom('', '<html>'))
  const types = fc.constantFrom('text/event-stream', 'application/json')
  const rules = fc.constantFrom<EndRule>('finish_reason', 'done', 'learn')
  const seen = new Map<string, number>()
  const law = fc.property(text, types, rules, (text, contentType, endRule) => {
    const context = { kind: 'chat', contentType, endRule } as const
    const judged = judgeBody(context, Buffer.from(text))
    const traffic = readsAsTraffic(text, contentType, endRule)
    const found = judged.kind === 'invalid' ? judged.why : judged.kind
    seen.set(found, (seen.get(found) ?? 0) + 1)
    // A whole answer may be a client's business and yet prove nothing.
    if (found === 'generated' || found === 'no_proof') return traffic === 'whole'
    return traffic !== 'whole' && (CODE_OF[found] ?? traffic) === traffic
  })
  holds(t, 'the same verdict on random answers', law, 5000)
  for (const found of ['generated', 'unfinished', 'error_body', 'finish_abort', 'no_proof']) {
    t.ok((seen.get(found) ?? 0) > 20, `${found} was among them: ${seen.get(found)}`)
  }
})

t.test('judgeBody(): an unusual last word passes a probe and traffic alike', async (t) => {
  const whole = JSON.stringify(one({ message: {}, finish_reason: 'eos_token' }))
  const stream = chunk(one({ delta: {}, finish_reason: 'eos_token' }))
  for (const [text, contentType] of [
    [whole, 'application/json'],
    [stream, 'text/event-stream'],
  ] as const) {
    t.equal(readsAsTraffic(text, contentType, 'finish_reason'), 'whole')
    const context = { kind: 'chat', contentType, endRule: 'finish_reason' } as const
    t.equal(judgeBody(context, Buffer.from(text)).kind, 'generated')
  }
})
