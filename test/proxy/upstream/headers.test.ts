import t from 'tap'
import { requestHeaders, responseHeaders } from '../../../src/proxy/upstream/headers.ts'

// Rows of docs/bad-input.md that are shown here: range-of-a-file.

const extra = { requestId: 'r-1', authorization: null, via: '1.1 gengate-a', hasBody: true }
const own = { 'accept-encoding': 'identity', via: '1.1 gengate-a', 'x-request-id': 'r-1' }

t.test('requestHeaders lets through what is on the list and adds its own', async (t) => {
  const incoming = {
    accept: 'text/event-stream',
    'accept-language': 'de',
    'content-type': 'application/json',
    'user-agent': 'OpenAI/JS 7',
    traceparent: '00-a-b-01',
    tracestate: 'x=y',
    baggage: 'k=v',
    'openai-organization': 'o',
    'anthropic-version': '2023-06-01',
    'x-stainless-retry-count': '0',
    'idempotency-key': 'stainless-node-1',
    'x-session-id': 's',
    'x-client-request-id': 'c',
  }
  t.strictSame(requestHeaders(incoming, extra), { ...incoming, ...own })
  const { 'content-type': _, ...without } = incoming
  t.strictSame(requestHeaders(incoming, { ...extra, hasBody: false }), { ...without, ...own })
  const file = { range: 'bytes=0-9', 'if-range': '"e"', 'if-none-match': '"e"', 'if-match': '"e"' }
  t.strictSame(requestHeaders(file, { ...extra, hasBody: false }), { ...file, ...own })
  t.strictSame(requestHeaders(file, extra), own, 'a generation has no parts')
})

t.test('requestHeaders B31, B32, B36, B37, B61: everything else stays here', async (t) => {
  const names = `authorization proxy-authorization x-api-key api-key cookie host origin referer forwarded
      x-forwarded-for x-forwarded-host x-real-ip x-original-url x-rewrite-url x-vllm-priority
      x-data-parallel-rank expect connection keep-alive proxy-connection te trailer upgrade via
      transfer-encoding content-length accept-encoding x-request-id __proto__ constructor tostring
      sec-fetch-site openai_x x-anything`
  const incoming = Object.fromEntries(names.split(/\s+/).map((name) => [name, 'client']))
  t.strictSame(requestHeaders(incoming, extra), own)
})

t.test('requestHeaders: Connection takes away client headers, never our own', async (t) => {
  const incoming = {
    connection: 'User-Agent, authorization, x-request-id, Via',
    'user-agent': 'x',
    accept: '*/*',
  }
  const out = requestHeaders(incoming, { ...extra, authorization: 'Bearer up' })
  t.strictSame(out, { accept: '*/*', ...own, authorization: 'Bearer up' })
})

t.test('requestHeaders: no value that could break a line, no list', async (t) => {
  for (const value of ['a\r\nb: c', 'a\nb', 'a\0b', 'a\u0100b', 'a\x7fb', ['a', 'b']]) {
    t.strictSame(requestHeaders({ 'user-agent': value }, extra), own, JSON.stringify(value))
  }
  const latin = requestHeaders({ 'user-agent': 'caf\u00e9\tx' }, extra)
  t.equal(latin['user-agent'], 'caf\u00e9\tx')
})

const always = {
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
}

t.test('responseHeaders B62: what an upstream must not say in our name', async (t) => {
  const names =
    `connection keep-alive transfer-encoding trailer upgrade te proxy-authenticate proxy-connection
      www-authenticate access-control-allow-origin access-control-allow-private-network
      timing-allow-origin set-cookie clear-site-data service-worker-allowed refresh link location
      alt-svc strict-transport-security __proto__ x-request-id x-gengate-upstream`.split(/\s+/)
  const raw = Object.fromEntries([...names, 'x gap', 'bad\nname'].map((name) => [name, 'upstream']))
  const out = responseHeaders(
    { ...raw, 'cross-origin-resource-policy': 'cross-origin', server: 'llama.cpp' },
    false,
  )
  t.strictSame(out, { server: 'llama.cpp', ...always })
  t.equal(Object.getPrototypeOf(out), Object.prototype)
})

t.test('responseHeaders: the rest passes as it is', async (t) => {
  const raw = {
    'content-type': 'application/json',
    'content-length': '12',
    'retry-after': '3',
    'openai-processing-ms': '5',
    vary: ['Origin', 'Accept'],
    empty: '',
  }
  t.strictSame(responseHeaders(raw, false), { ...raw, ...always })
  const { 'content-length': _, ...rest } = raw
  t.strictSame(responseHeaders(raw, true), { ...rest, ...always })
})

t.test('responseHeaders: Connection names go, broken values go', async (t) => {
  const out = responseHeaders(
    {
      connection: 'X-Secret, content-type',
      'x-secret': '1',
      'content-type': 'a/b',
      x: 'a\r\nb: c',
    },
    true,
  )
  t.strictSame(out, { 'content-type': 'a/b', ...always })
  const several = responseHeaders({ x: ['a', 'b\n', 'c'], y: ['\0'] }, true)
  t.strictSame(several, { x: ['a', 'c'], ...always })
})

t.test('responseHeaders: event streams are neither cached nor buffered', async (t) => {
  t.match(responseHeaders({ 'content-type': 'Text/Event-Stream; charset=utf-8' }, true), {
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  })
  t.match(
    responseHeaders({ 'content-type': 'text/event-stream', 'cache-control': 'no-store' }, true),
    { 'cache-control': 'no-store' },
    'only where the upstream does not say so itself',
  )
})
