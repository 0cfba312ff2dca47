import t from 'tap'
import { evidenceOf } from '../../src/core/exchange/ending.ts'
import { failedByTransport } from '../../src/proxy/upstream/failed.ts'
import { legacyProbeReason, outcomeLabel } from '../../src/core/health/evidence.ts'
import type { EngineKind } from '../../src/core/upstream.ts'
import { quirksOf } from '../../src/engines/index.ts'
import type { ProbeKind } from '../../src/api/index.ts'
import { ofBreak, verdict } from '../../src/probe/verdict.ts'
import type { Phase, WireAnswer } from '../../src/probe/wire.ts'
import { capture } from './captures.ts'

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
  const rows: Readonly<Record<number, string>> = {
    204: 'invalid_response',
    301: 'invalid_response',
    304: 'invalid_response',
    400: 'bad_request',
    401: 'unauthorized',
    403: 'unauthorized',
    404: 'wrong_kind',
    405: 'wrong_kind',
    408: 'busy',
    413: 'bad_request',
    422: 'bad_request',
    429: 'busy',
    500: 'http_5xx',
    501: 'wrong_kind',
    502: 'http_5xx',
    503: 'busy',
    504: 'http_5xx',
  }
  for (const [status, label] of Object.entries(rows)) {
    const outcome = judge(answer(Number(status), ''))
    t.equal(outcomeLabel(outcome), label, status)
    if (status !== '204') t.match(outcome, { detail: `http_${status}` })
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
  const body = {
    error: { code: 400, message: "model 'x' not found", type: 'invalid_request_error' },
  }
  t.equal(outcomeLabel(judge(answer(400, body), { engine: 'llamacpp' })), 'model_not_found')
})

t.test('verdict() on broken connections', async (t) => {
  const rows: readonly [code: string, phase: Phase, label: string][] = [
    ['ECONNREFUSED', 'connect', 'refused'],
    ['UND_ERR_CONNECT_TIMEOUT', 'connect', 'unreachable'],
    ['ETIMEDOUT', 'connect', 'unreachable'],
    ['EHOSTUNREACH', 'connect', 'unreachable'],
    ['ENETUNREACH', 'connect', 'unreachable'],
    ['CERT_HAS_EXPIRED', 'connect', 'unreachable'],
    ['ECONNRESET', 'waiting', 'unreachable'],
    ['UND_ERR_SOCKET', 'waiting', 'unreachable'],
    ['ECONNRESET', 'body', 'truncated'],
    ['UND_ERR_SOCKET', 'body', 'truncated'],
    ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'body', 'truncated'],
    ['HPE_INVALID_CONSTANT', 'waiting', 'invalid_response'],
    ['HPE_INVALID_EOF_STATE', 'body', 'truncated'],
    ['UND_ERR_RES_EXCEEDED_MAX_SIZE', 'body', 'invalid_response'],
    ['UND_ERR_HEADERS_OVERFLOW', 'waiting', 'invalid_response'],
    ['ENOTFOUND', 'connect', 'inconclusive'],
    ['EAI_AGAIN', 'connect', 'inconclusive'],
    ['EMFILE', 'connect', 'inconclusive'],
    ['ENFILE', 'connect', 'inconclusive'],
    ['ABORTED', 'waiting', 'inconclusive'],
    ['ABORTED', 'body', 'inconclusive'],
  ]
  for (const [code, phase, label] of rows) {
    t.equal(outcomeLabel(ofBreak(code, phase)), label, `${code} ${phase}`)
    t.match(ofBreak(code, phase), { detail: code })
  }
})

t.test('ofBreak() blames an upstream for what traffic blames it for', async (t) => {
  const codes = [
    'ECONNREFUSED',
    'ECONNRESET',
    'EHOSTUNREACH',
    'UND_ERR_CONNECT_TIMEOUT',
    'HPE_INVALID_CONSTANT',
    'UND_ERR_HEADERS_OVERFLOW',
    'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
    'ENOTFOUND',
    'EAI_AGAIN',
    'EMFILE',
    'ENFILE',
    'ENOBUFS',
    'ENOMEM',
    'EADDRNOTAVAIL',
    'UND_ERR_INVALID_ARG',
  ]
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
  const event = { choices: [{ index: 0, delta: { content: 'OK' } }] }
  const body = `data: ${JSON.stringify(event)}\n\ndata: [DONE]\n\n`
  const streamed = answer(200, body, 'text/event-stream')
  const by = (endRule: 'done' | 'finish_reason') =>
    verdict(streamed, { kind: 'chat', quirks: quirksOf('vllm'), endRule, latencyMs: 7 }).kind
  t.equal(by('finish_reason'), 'fail')
  t.equal(by('done'), 'pass')
})
