import t, { type Test } from 'tap'
import { classifyEvent } from '../../src/api/answer.ts'
import { outcomeLabel } from '../../src/core/health/evidence.ts'
import type { EngineKind } from '../../src/core/upstream.ts'
import { quirksOf } from '../../src/engines/index.ts'
import { listedModels } from '../../src/engines/model-list.ts'
import { workOfSlots } from '../../src/engines/llamacpp.ts'
import { hasGrown } from '../../src/engines/quirks.ts'
import { workOfCounter } from '../../src/engines/vllm.ts'
import { verdict } from '../../src/probe/verdict.ts'
import { Bench } from '../probe/bench.ts'
import { capture, capturedJson, textOf } from '../probe/captures.ts'
import type { Step } from '../support/raw-upstream.ts'
import { chatBody, post, readStream, servedBy } from '../support/ask.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { startGate, type TestGate } from '../support/start-gate.ts'
import { type Asked, readsOf, type Replay, replayUpstream, wireOf } from './replay.ts'
import { ANSWERS } from '../support/answer-apis.ts'

// Goal: every fact about real engines that the gate relies on has a test with that engine's own bytes. This is
// the stand-in that replays captures; the engines themselves are driven by `npm run test:engines`.
// Method: verdicts and tables on captured answers; a whole gate in front of an upstream that replays them.

// Most of it is waiting.
t.jobs = 4

const WAIT_MS = 20_000
const SERVING = /^(?:ok|ok_by_traffic|busy)$/

/** A gate over `a`, which replays `engine`, and `b`, which works. `a` is probed and passes at first. */
async function stage(
  t: Test,
  engine: EngineKind,
  { passes, b = true }: { readonly passes: string; readonly b?: boolean },
): Promise<{ readonly a: Replay; readonly gate: TestGate }> {
  const a = await replayUpstream(t, () => wireOf(passes))
  const works = b ? await fakeUpstream(t, { models: ['m'], idPrefix: 'of-b' }) : null
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: works === null ? `a=${a.url}` : `a=${a.url},b=${works.url}`,
    GENGATE_A_ENGINE: engine,
    GENGATE_A_MODEL: 'tiny',
  })
  await gate.until(() => gate.reason('a') === 'ok', WAIT_MS)
  if (works !== null) await gate.until(() => gate.reason('b') === 'ok', WAIT_MS)
  return { a, gate }
}

/** What it says to clients; probes hang, as they do at an engine that is frozen. */
const wedged =
  (steps: readonly Step[]) =>
  ({ probe }: Asked): readonly Step[] =>
    probe ? ['hang'] : steps

/** What it says to clients; probes pass. */
const says =
  (passes: string, steps: readonly Step[]) =>
  ({ probe }: Asked): readonly Step[] =>
    probe ? wireOf(passes) : steps

const chat = (gate: TestGate, over: Record<string, unknown> = {}) =>
  post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true, max_tokens: 9, ...over }))

/** The other one answers, to the end. */
async function byB(t: Test, answer: Response, why: string): Promise<void> {
  t.equal(servedBy(answer), 'b', why)
  t.ok((await readStream(answer)).done)
}

const VLLM = 'vllm-0.32.0/chat_unary'
const LLAMA = 'llamacpp-b11434/chat_unary_1tok'
const OLLAMA = 'ollama-0.33.0-rc2/chat_unary_1tok'
const METAL = 'vllm-metal-0.1.0-pypi/chat_unary_1tok'

/** The head of a stream of that engine, and so many of its events. */
const headOf = (name: string, events = 0): Buffer[] => wireOf(name).slice(0, 1 + events)

t.test('bytes are not progress: comments of a frozen vLLM', async (t) => {
  const comments = readsOf('vllm-0.32.0/wedge_keepalive_comments', /: keep-alive/)
  t.ok(comments.length >= 4, 'they were seen live')
  const { a, gate } = await stage(t, 'vllm', { passes: VLLM })
  const steps = comments.flatMap((comment) => [comment, 300])
  a.play = wedged([...headOf('vllm-0.32.0/chat_stream'), ...steps, ...steps, ...steps, 'hang'])
  await byB(t, await chat(gate), 'they commit nothing')
  // They prove nothing.
  await gate.until(() => !SERVING.test(gate.reason('a') ?? ''), WAIT_MS)
})

t.test('bytes are not progress: pings of a frozen llama.cpp after its first tokens', async (t) => {
  const seen = /\+6\.91s b':\\n' data lines so far 93/
  t.match(textOf('llamacpp-b11434/ping_frozen'), seen, 'seen live')
  const { a, gate } = await stage(t, 'llamacpp', { passes: LLAMA })
  const pings = Array.from({ length: 60 }, () => [Buffer.from('3\r\n:\n\n\r\n'), 300]).flat()
  a.play = wedged([...headOf('llamacpp-b11434/chat_stream', 3), ...pings])
  const end = await readStream(await chat(gate))
  t.not(end.text, '')
  t.equal(end.error?.code, 'upstream_stalled')
  t.notOk(end.done)
  await gate.until(() => gate.reason('a') === 'wedged', WAIT_MS)
})

t.test('/v1/responses sends its first two events from a frozen engine', async (t) => {
  const [, ...events] = wireOf('vllm-0.32.0/responses_stream', { ended: false })
  const kinds = events.map((event) => classifyEvent(ANSWERS.responses, bare(event)).kind)
  t.strictSame(kinds.slice(0, 4), ['neutral', 'neutral', 'neutral', 'neutral'])
  t.equal(kinds[4], 'content', 'the first text')
  const { a, gate } = await stage(t, 'vllm', { passes: VLLM })
  a.play = wedged([...headOf('vllm-0.32.0/responses_stream', 2), 'hang'])
  const body = JSON.stringify({ model: 'default', input: 'hi', stream: true })
  const answer = await post(`${gate.url}/v1/responses`, body)
  t.equal(servedBy(answer), 'b')
  const end = await readStream(answer)
  t.equal(end.names.at(-1), 'response.completed')
  t.notMatch(end.raw, /resp_a1a36aa93c2e1535/, 'nothing of the frozen one shows')
})

/** The event inside a chunk. */
function bare(chunk: Buffer): Buffer {
  return chunk.subarray(chunk.indexOf('\r\n') + 2, -2)
}

t.test('a busy 503 is neutral: neither failure nor proof of life', async (t) => {
  for (const [name, at] of [
    ['vllm-0.32.0/queue_overflow', 1],
    // The core was stopped, and clients hung at the limit of the queue.
    ['vllm-0.32.0/wedge_masked_as_busy503', 0],
    ['llamacpp-b11434/slots_noroom', 0],
  ] as const) {
    t.strictSame(probed('vllm', name, at), { kind: 'busy', detail: 'http_503' }, name)
  }
  const { a, gate } = await stage(t, 'vllm', { passes: VLLM })
  const refuse = wireOf('vllm-0.32.0/wedge_masked_as_busy503')
  a.play = () => refuse
  const answer = await chat(gate)
  t.equal(servedBy(answer), 'b', 'the next one is asked')
  await answer.text()
  t.match(gate.reason('a'), SERVING, 'one refusal is no failure')
  const keepAsking = setInterval(() => void chat(gate).then((one) => one.text()), 250)
  t.teardown(() => clearInterval(keepAsking))
  await gate.until(() => !SERVING.test(gate.reason('a') ?? ''), WAIT_MS)
  t.match(gate.reason('a'), /^(?:stale|probe_missed)$/, 'but they prove no life either')
})

t.test('a busy 429 is neutral, too', async (t) => {
  const { a, gate } = await stage(t, 'vllm', { passes: VLLM, b: false })
  const [bytes = Buffer.alloc(0)] = wireOf('vllm-0.32.0/wedge_masked_as_busy503')
  const refusal = bytes
    .toString('latin1')
    .replace('503 Service Unavailable', '429 Too Many Requests')
  a.play = says(VLLM, [Buffer.from(refusal, 'latin1')])
  const answer = await chat(gate)
  t.equal(answer.status, 429, 'it is passed on where there is no other')
  await answer.text()
  t.match(gate.reason('a'), SERVING)
})

t.test("vLLM's stop ends a stream with finish_reason abort and [DONE] under 200", async (t) => {
  const { a, gate } = await stage(t, 'vllm', { passes: VLLM })
  const stopped = wireOf('vllm-0.32.0/sigterm_inflight')
  const seen = /"finish_reason":"abort".*data: \[DONE\]/s
  t.match(Buffer.concat(stopped).toString(), seen, 'seen live')
  t.equal(outcomeLabel(probed('vllm', 'vllm-0.32.0/sigterm_inflight')), 'invalid_response')
  // Its tokens have no text: content is made of a whole answer of the same engine.
  a.play = says(VLLM, [...headOf('vllm-0.32.0/chat_stream', 4), ...stopped.slice(1)])
  const end = await readStream(await chat(gate))
  t.not(end.text, '')
  t.not(end.error, null)
  t.notOk(end.done, '[DONE] is not passed on')
  t.ok(end.broken)
  a.play = says(VLLM, stopped)
  await byB(t, await chat(gate), 'before any text another one answers')
})

t.test('a failed vLLM ends a stream with an error frame and [DONE]', async (t) => {
  const worker = 'vllm-0.32.0/wedge_sigstop_worker_20s'
  const [frame = Buffer.alloc(0)] = readsOf(worker, /"error".*\[DONE\]/s)
  t.match(frame.toString(), /EngineCore encountered an issue/, 'seen live')
  const { a, gate } = await stage(t, 'vllm', { passes: VLLM })
  a.play = says(VLLM, [...headOf('vllm-0.32.0/chat_stream', 4), frame])
  const end = await readStream(await chat(gate))
  t.match(end.error?.message, /EngineCore encountered an issue/)
  t.notOk(end.done, '[DONE] is not passed on')
  a.play = says(VLLM, [...headOf('vllm-0.32.0/chat_stream'), frame])
  await byB(t, await chat(gate), 'before any text another one answers')
})

t.test("Ollama ends a killed runner's stream by a clean EOF without finish_reason", async (t) => {
  const { a, gate } = await stage(t, 'ollama', { passes: OLLAMA, b: false })
  const cut = wireOf('ollama-0.33.0-rc2/kill9_midstream_raw')
  a.play = says(OLLAMA, cut)
  const end = await readStream(await chat(gate, { model: 'default' }))
  t.match(end.text, /^Write numbers/)
  t.equal(end.error?.code, 'upstream_truncated')
  t.notOk(end.done)
  t.equal(outcomeLabel(probed('ollama', 'ollama-0.33.0-rc2/kill9_midstream_raw')), 'truncated')
})

t.test('llama.cpp that ends cuts its streams without a last chunk', async (t) => {
  const { a, gate } = await stage(t, 'llamacpp', { passes: LLAMA, b: false })
  for (const name of ['sigterm_midstream', 'kill9_midstream']) {
    a.play = says(LLAMA, [...wireOf(`llamacpp-b11434/${name}`, { ended: false }), 50, 'cut'])
    const end = await readStream(await chat(gate))
    t.equal(end.error?.code, 'upstream_truncated', name)
    t.notOk(end.done, name)
  }
})

/** The values of a counter of llama.cpp's, in the order of a transcript. */
function counts(name: string): readonly number[] {
  const text = textOf('llamacpp-b11434/abandoned_probes')
  return [...text.matchAll(new RegExp(`llamacpp:${name} (\\d+)`, 'g'))].map((match) =>
    Number(match[1]),
  )
}

t.test('llama.cpp runs abandoned probes later: none is abandoned and sent again', async (t) => {
  t.strictSame(
    counts('requests_deferred'),
    [0, 1, 2, 3, 3, 2, 0],
    'three gave up, three still waited',
  )
  const [, before = 0, , , , , after = 0] = counts('prompt_tokens_total')
  t.equal(after - before, 105, 'and all three were run')
  const { a, gate } = await stage(t, 'llamacpp', { passes: LLAMA, b: false })
  a.gets.set('/slots', wireOf('llamacpp-b11434/slots_busy'))
  const sent = a.posts.length
  const keepAsking = setInterval(
    () => gate.app.store.apply({ type: 'client_active', at: performance.now() }),
    200,
  )
  t.teardown(() => clearInterval(keepAsking))
  await gate.until(() => !SERVING.test(gate.reason('a') ?? ''), WAIT_MS)
  t.equal(a.posts.length, sent, 'no probe is put into the queue of a full one')
  a.gets.set('/slots', wireOf('llamacpp-b11434/slots_idle'))
  await gate.until(() => gate.reason('a') === 'ok', WAIT_MS)
  t.ok(a.posts.length > sent, 'it is probed when a slot is free')
})

t.test('/slots 200 is no evidence of life, rising n_decoded is', async (t) => {
  for (const build of ['b10434', 'b11434']) {
    const work = (name: string) => workOfSlots(capturedJson(`llamacpp-${build}/slots_${name}`))
    const [idle, busy, later] = [work('idle'), work('busy'), work('busy_later')]
    t.ok(idle !== null && busy !== null && later !== null, build)
    if (idle === null || busy === null || later === null) return
    t.strictSame([idle.room, busy.room, later.room], [true, false, false], build)
    t.notOk(hasGrown(busy, busy), 'the same again')
    t.ok(hasGrown(busy, later), 'tokens came')
    t.notOk(hasGrown(idle, busy), 'a task that is new')
  }
  const seen = /## GET \/slots\n.*\n.*\n.*HTTP\/1\.1 200 OK/
  t.match(textOf('llamacpp-b11434/wedge_genloop_frozen'), seen, 'seen live')
  t.equal(workOfSlots(capturedJson('llamacpp-b11434/slots_noroom')), null)
})

t.test("vLLM's gauges read 0 while requests hang, its counters stand still", async (t) => {
  const page = textOf('vllm-0.32.0/metrics_full')
  const work = quirksOf('vllm').work?.read(page)
  t.strictSame([...(work?.made ?? [])], [['vllm:inter_token_latency_seconds_count', 7]])
  t.equal(workOfCounter(page, 'vllm:no_such_counter'), null)
  const wedge = textOf('vllm-0.32.0/wedge_sigstop_enginecore')
  const written = [...wedge.matchAll(/^vllm:generation_tokens_total\{\} (\d+)/gm)].map((match) =>
    Number(match[1]),
  )
  t.strictSame(written.slice(0, 2), [56, 56], 'five requests came and left meanwhile')
  t.equal(quirksOf('vllm').work?.read({ detail: 'Not Found' }), null)
})

t.test('/api/ps is empty while Ollama loads; a request that is given up aborts that', async (t) => {
  const ps = [...textOf('ollama-0.33.0-rc2/cold_load').matchAll(/^(\{"models":\[\]\}) t=/gm)]
  t.ok(ps.length >= 5, 'empty all the while')
  const it = new Bench('ollama', 'gemma')
  const body: unknown = JSON.parse(ps[0]?.[1] ?? '')
  it.wire.answer = (path) => ({ kind: 'answer', status: path === '/api/ps' ? 200 : 404, body })
  t.equal((await it.round()).kind, 'cold')
  t.equal(it.wire.probes.length, 0, 'what is not sent is not abandoned')

  const a = await replayUpstream(t, () => [])
  a.gets.set('/api/ps', [
    Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n${ps[0]?.[1] ?? ''}`),
  ])
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: `ollama=${a.url}`,
    GENGATE_OLLAMA_MODEL: 'gemma',
  })
  await gate.until(() => gate.reason('ollama') === 'model_not_loaded', WAIT_MS)
  // The load took 8.3 s there; six are longer than any deadline for a model that is loaded.
  a.play = () => [6_000, ...wireOf('ollama-0.33.0-rc2/chat_unary_1tok')]
  const answer = await chat(gate, { stream: false })
  t.equal(answer.status, 200)
  await answer.text()
  t.equal(a.posts.length, 1, 'it was asked once, and waited for')
})

t.test('Ollama ignores max_completion_tokens: probes say max_tokens', async (t) => {
  const { a } = await stage(t, 'ollama', { passes: OLLAMA, b: false })
  const { body = '' } = a.posts.find(({ probe }) => probe) ?? {}
  t.match(body, '"max_tokens":1')
  t.notMatch(body, 'max_completion_tokens')
})

t.test("PyPI's vllm-metal ignores stream: its JSON becomes a valid stream", async (t) => {
  const { a, gate } = await stage(t, 'vllm_metal', { passes: METAL, b: false })
  a.play = says(METAL, wireOf('vllm-metal-0.1.0-pypi/chat_stream_1tok'))
  const answer = await chat(gate)
  t.match(answer.headers.get('content-type'), /^text\/event-stream/)
  const end = await readStream(answer)
  t.ok(end.done && !end.broken)
  const choices = end.events.map(
    (data) =>
      (JSON.parse(data) as { choices: { finish_reason: string; delta: { role?: string } }[] })
        .choices[0],
  )
  t.equal(choices[0]?.delta.role, 'assistant')
  t.equal(choices.at(-1)?.finish_reason, 'stop')
})

t.test("PyPI's vllm-metal blocks /health while it generates: nobody asks it", async (t) => {
  const seen = textOf('vllm-metal-0.1.0-pypi/busy_blocks_health')
  t.match(seen, 'CLIENT TIMEOUT after 0 bytes', 'seen live')
  const { a, gate } = await stage(t, 'vllm_metal', { passes: METAL, b: false })
  a.gets.set('/health', ['hang'])
  a.gets.set('/v1/models', ['hang'])
  a.play = says(METAL, [1_500, ...wireOf('vllm-metal-0.1.0-pypi/chat_unary')])
  const answers = await Promise.all([chat(gate, { stream: false }), chat(gate, { stream: false })])
  for (const answer of answers) t.equal(answer.status, 200)
  t.match(gate.reason('a'), SERVING)
})

t.test("PyPI's vllm-metal counts words, so a token may count as none", async (t) => {
  const { body } = capture(METAL)
  const counted = Buffer.from(body)
    .toString()
    .replace('"completion_tokens":1', '"completion_tokens":0')
  const answer = { ...capture(METAL), body: Buffer.from(counted) }
  const outcome = verdict(answer, { kind: 'chat', quirks: quirksOf('vllm_metal'), latencyMs: 1 })
  t.equal(outcome.kind, 'pass', 'by its finish_reason')
})

t.test('an empty text with finish_reason length and one token is a pass', async (t) => {
  t.match(capturedJson('vllm-0.32.0/chat_unary_1tok'), {
    choices: [{ message: { content: '' }, finish_reason: 'length' }],
    usage: { completion_tokens: 1 },
  })
  t.match(probed('vllm', 'vllm-0.32.0/chat_unary_1tok'), { kind: 'pass', tokens: 1 })
})

t.test('a list of models may be null, or not there at all', async (t) => {
  t.match(capturedJson('ollama-0.33.0/models_empty'), { data: null })
  t.strictSame(listedModels(capturedJson('ollama-0.33.0/models_empty')), [])
  t.equal(listedModels(capturedJson('mlx-lm-0.32.2/models')), null, '200 with an empty body')
})

function probed(engine: EngineKind, name: string, at = 0) {
  return verdict(capture(name, at), { kind: 'chat', quirks: quirksOf(engine), latencyMs: 1 })
}
