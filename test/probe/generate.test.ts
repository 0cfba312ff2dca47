import { createServer, type Server } from 'node:net'
import { getEventListeners, once } from 'node:events'
import t, { type Test } from 'tap'
import { outcomeLabel } from '../../src/core/health/evidence.ts'
import { quirksOf } from '../../src/engines/index.ts'
import { fetchJson } from '../../src/probe/wire.ts'
import { type ProbeCall, runProbe } from '../../src/probe/generate.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import type { Cut } from '../support/fake-answer.ts'

function call(url: string, over: Partial<ProbeCall> = {}): ProbeCall {
  return {
    target: { url, apiKey: null, connectTimeoutMs: 500 },
    quirks: quirksOf('vllm'),
    kind: 'chat',
    model: 'fake',
    maxTokens: 1,
    limitMs: 2_000,
    clock: systemClock,
    signal: new AbortController().signal,
    onSent: () => {},
    ...over,
  }
}

/** A TCP server that says `text` to whoever connects, and hangs up. */
async function speaker(t: Test, text: string): Promise<string> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(text))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
}

t.test('runProbe() passes, over its own connection, with the key and no Origin', async (t) => {
  const up = await fakeUpstream(t, { apiKey: 'secret' })
  const target = { url: up.url, apiKey: 'secret', connectTimeoutMs: 500 }
  let sent = 0
  const { signal } = new AbortController()
  const outcome = await runProbe(call(up.url, { target, signal, onSent: () => sent++ }))
  t.equal(getEventListeners(signal, 'abort').length, 0, 'nothing hangs on the signal of the loop')
  t.match(outcome, { kind: 'pass', tokens: 1 })
  t.equal(sent, 1)
  const [seen] = up.seen
  t.match(seen?.headers, {
    host: `127.0.0.1:${up.port}`,
    connection: 'close',
    authorization: 'Bearer secret',
  })
  t.notOk('origin' in (seen?.headers ?? {}))
  t.ok(Number(seen?.headers['content-length']) > 0, 'mlx-lm needs a length')
  t.match(JSON.parse(seen?.body ?? ''), { max_tokens: 1, stream: false, model: 'fake' })
  t.match(await runProbe(call(up.url)), { reason: 'unauthorized', detail: 'http_401' })
})

t.test('runProbe() under a base path, and for every kind', async (t) => {
  const up = await fakeUpstream(t)
  for (const kind of ['chat', 'completions', 'embeddings'] as const) {
    const proves = kind === 'embeddings' ? 'embeds' : 'pass'
    t.equal((await runProbe(call(`${up.url}/`, { kind }))).kind, proves, kind)
  }
  t.equal(outcomeLabel(await runProbe(call(`${up.url}/sub`))), 'wrong_kind')
  t.equal(up.seen.at(-1)?.url, '/sub/v1/chat/completions')
})

t.test('runProbe() times out on a frozen generation and closes its connection', async (t) => {
  const up = await fakeUpstream(t)
  up.freeze()
  let sent = 0
  const outcome = await runProbe(call(up.url, { limitMs: 150, onSent: () => sent++ }))
  t.strictSame(outcome, { kind: 'timeout', limitMs: 150 })
  t.equal(sent, 1, 'it was sent: this is a wedge')
  const health = await fetchJson({ ...call(up.url), path: '/health' })
  t.match(health, { kind: 'answer', status: 200 })
  t.equal(up.seen[0]?.ended?.how, 'cut')
})

t.test('runProbe() answers the instant the frozen one thaws', async (t) => {
  const up = await fakeUpstream(t)
  up.freeze()
  const running = runProbe(call(up.url))
  await systemClockSleep(100)
  up.thaw()
  t.match(await running, { kind: 'pass' })
})

t.test('runProbe(): headers are no answer', async (t) => {
  const up = await fakeUpstream(t)
  up.headersOnly()
  t.equal((await runProbe(call(up.url, { limitMs: 150 }))).kind, 'timeout')
})

t.test('runProbe(): a queue in a single slot is waited for', async (t) => {
  const up = await fakeUpstream(t, { slots: 1, ttftMs: 100 })
  const both = await Promise.all([runProbe(call(up.url)), runProbe(call(up.url))])
  t.strictSame(both.map(outcomeLabel), ['pass', 'pass'])
})

t.test('runProbe(): refused, and back on the same port', async (t) => {
  const up = await fakeUpstream(t)
  await up.refuse()
  let sent = 0
  const refused = await runProbe(call(up.url, { onSent: () => sent++ }))
  t.strictSame(refused, { kind: 'fail', reason: 'refused', detail: 'ECONNREFUSED' })
  t.equal(sent, 0)
  await up.listen()
  t.match(await runProbe(call(up.url)), { kind: 'pass' })
})

t.test('runProbe() on cuts: before any byte, and inside the body', async (t) => {
  const up = await fakeUpstream(t)
  const rows: readonly [after: number, how: Cut, label: string][] = [
    [-1, 'reset', 'unreachable'],
    [-1, 'fin', 'unreachable'],
    [0, 'reset', 'truncated'],
    [0, 'fin', 'truncated'],
    // Half a body that ends as if it were whole is nonsense rather than a cut.
    [0, 'chunked-end', 'invalid_response'],
    [0, 'eof-framed', 'invalid_response'],
  ]
  for (const [after, how, label] of rows) {
    up.cutAfter(after, how)
    t.equal(outcomeLabel(await runProbe(call(up.url))), label, `${how} ${after}`)
  }
})

t.test('runProbe() on lying and failing answers', async (t) => {
  const up = await fakeUpstream(t)
  const rows: readonly [() => void, string][] = [
    [() => up.empty(), 'invalid_response'],
    [() => up.errorObject(), 'invalid_response'],
    [() => up.finishWith('abort'), 'invalid_response'],
    [() => up.errorFrame(), 'http_5xx'],
    [() => up.status(429), 'busy'],
    [() => up.status(302, '', { location: 'http://127.0.0.1:1/' }), 'invalid_response'],
    [() => up.status(200, 'x'.repeat(2_000_000)), 'invalid_response'],
    [() => up.status(200, '\u0000\u0001garbage'), 'invalid_response'],
    [() => up.ok(), 'pass'],
  ]
  for (const [say, label] of rows) {
    say()
    t.equal(outcomeLabel(await runProbe(call(up.url))), label)
  }
})

t.test('runProbe() on something that is no HTTP', async (t) => {
  const ssh = await speaker(t, 'SSH-2.0-OpenSSH_9.2\r\n')
  t.equal(outcomeLabel(await runProbe(call(ssh))), 'invalid_response')
  const mute = await speaker(t, '')
  t.equal(outcomeLabel(await runProbe(call(mute))), 'unreachable')
  const huge = await speaker(t, `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`)
  t.equal(outcomeLabel(await runProbe(call(huge))), 'invalid_response')
  const eof = '{"choices":[{"finish_reason":"stop"}]}'
  const old = await speaker(t, `HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n${eof}`)
  t.equal(outcomeLabel(await runProbe(call(old))), 'pass', 'HTTP/1.0 without a length, as mlx-lm')
})

t.test('runProbe() leaves at once when aborted, before and while it waits', async (t) => {
  const up = await fakeUpstream(t)
  up.freeze()
  const gone = AbortSignal.abort()
  t.match(await runProbe(call(up.url, { signal: gone })), {
    kind: 'inconclusive',
    detail: 'ABORTED',
  })
  t.equal(up.seen.length, 0)
  const waiting = new AbortController()
  const running = runProbe(call(up.url, { signal: waiting.signal, onSent: () => waiting.abort() }))
  t.match(await running, { kind: 'inconclusive' })
})

t.test('runProbe(): a URL that is none and a key that is no header do not throw', async (t) => {
  t.equal((await runProbe(call('no url'))).kind === 'pass', false)
  const up = await fakeUpstream(t)
  const target = { url: up.url, apiKey: 'a\nb', connectTimeoutMs: 500 }
  t.equal((await runProbe(call(up.url, { target }))).kind, 'inconclusive')
})

t.test('runProbe(): a bug in the judging is inconclusive', async (t) => {
  const up = await fakeUpstream(t)
  up.status(500)
  const quirks = {
    ...quirksOf('vllm'),
    isLoading: () => {
      throw new Error('bug')
    },
  }
  t.strictSame(await runProbe(call(up.url, { quirks })), { kind: 'inconclusive', detail: 'bug' })
})

t.test('runProbe(): an answer in the buffer counts when a late timer fires', async (t) => {
  const up = await fakeUpstream(t, { ttftMs: 20 })
  const running = runProbe(call(up.url, { limitMs: 200 }))
  await systemClockSleep(5)
  // The event loop stalls beyond the limit; the answer arrives meanwhile, in the kernel. Timers run
  // first when it wakes up. The server lives in this process, so it must have sent before the stall.
  up.options.ttftMs = 0
  await systemClockSleep(16)
  const until = performance.now() + 700
  while (performance.now() < until) {
    // Busy on purpose.
  }
  t.match(await running, { kind: 'pass' })
})

t.test('fetchJson() is silent, broken or answered, never rejected', async (t) => {
  const up = await fakeUpstream(t)
  const get = (path: string, limitMs = 1_000) => fetchJson({ ...call(up.url), path, limitMs })
  t.match(await get('/v1/models'), { kind: 'answer', status: 200, body: { object: 'list' } })
  for (const body of ['', 'null', '{"data":null}', '<html>']) {
    up.raw.set('/v1/models', { status: 200, body })
    t.equal((await get('/v1/models')).kind, 'answer')
  }
  up.raw.set('/v1/models', { status: 200, body: JSON.stringify('x'.repeat(1_100_000)) })
  const code = 'UND_ERR_RES_EXCEEDED_MAX_SIZE'
  t.match(await get('/v1/models'), { kind: 'broken', code, phase: 'body' }, 'bounded')
  await up.refuse()
  t.match(await get('/v1/models'), { kind: 'broken', code: 'ECONNREFUSED', phase: 'connect' })
})

function systemClockSleep(ms: number): Promise<void> {
  return new Promise((resolve) => systemClock.after(ms, resolve))
}
