import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import type { Reason } from '../../src/core/health/reason.ts'
import { teardownOf } from '../clients/stage.ts'
import { chatBody, post, readStream, servedBy, type StreamEnd } from '../support/ask.ts'
import { runCli } from '../support/run-cli.ts'
import { startGate, type TestGate } from '../support/start-gate.ts'
import { isWanted, type RealEngine } from './installed.ts'
import { askDirectly, endings, type Running, sleep, startEngine, until as soon } from './start.ts'

// Goal: everything that the gate promises, with a real engine behind it. Method: one engine of one slot, `a`,
// and another real one, `b`; a gate in this process. Waits are long, for slow machines; what is judged is what
// happens, in which order, and never how fast, except for the detection target.

/** What a test gets. */
export interface Pair {
  readonly a: Running
  readonly b: Running
}

/** Environment of a gate in front of both, `a` preferred. */
export function envOf({ a, b }: Pair): Record<string, string> {
  return {
    GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`,
    ...engineEnv('A', a),
    ...engineEnv('B', b),
  }
}

export function engineEnv(name: string, { engine, model }: Running): Record<string, string> {
  const kinds = { llamacpp: 'llamacpp', vllm_cpu: 'vllm', ollama: 'ollama', mlx: 'mlx' } as const
  return { [`GENGATE_${name}_ENGINE`]: kinds[engine], [`GENGATE_${name}_MODEL`]: model }
}

/** A prompt that small models continue for ever. */
export const ENDLESS = {
  messages: [{ role: 'user', content: '1 2 3 4 5 6 7 8 9 10 11 12' }],
  // vLLM and llama.cpp obey; the others count on without it.
  ignore_eos: true,
}
/** More than any engine here generates while a test looks on. */
const LONG_TOKENS = 12_000
const WAIT_MS = 30_000
/** llama.cpp does not notice that the client of a unary answer left while it is asked for its
 *  counters more than once a second (b10434, b11434: each answer restarts its wait of one second). */
const LOOK_EVERY_MS = 1_200
/** What a slow machine may add to the detection target before it counts as missed, ms. */
const SLACK_MS = 4_000
const DETECT_WITHIN_MS = 4_000
/** A request that waits with the wedge is sent this long after it, ms. */
const SENT_AFTER_MS = 1_000

/** An upstream that is out, and one that serves. */
const EJECTED = /^(?:wedged|refused|unreachable|http_5xx|invalid_response|truncated|hold_down)$/
const SERVING = /^(?:ok|ok_by_traffic|busy)$/
const is = (words: RegExp, gate: TestGate): boolean => words.test(gate.reason('a') ?? '')

/** Registers the battery for one engine; `other` stands beside it. */
export function prove(
  engine: RealEngine,
  other: RealEngine,
  how: { longTokens?: number } = {},
): void {
  if (!isWanted(engine, process.env)) return
  const longTokens = how.longTokens ?? LONG_TOKENS
  describe(engine, { concurrency: 1 }, () => {
    const own = endings()
    let pair: Pair
    before(async () => {
      const [a, b] = [await startEngine(own, engine), await startEngine(own, other)]
      pair = { a, b }
      say(`first token of ${engine} after ${a.startedInS.toFixed(1)} s`)
    })
    after(own.end)

    test('the probe passes, also from the command line', (t) => probePasses(t, pair))
    test('chat, streamed and not', (t) => chats(t, pair))
    test('the errors of the engine pass through unchanged', (t) => errorsPass(t, pair))
    test('a client that leaves stops the engine', (t) => aborts(t, pair, longTokens))
    test('one slot that is taken is busy, and never ejected', (t) => saturates(t, pair, longTokens))
    test('the real wedge: the generation loop alone is frozen', (t) => wedges(t, pair))
    test('a stream that a wedge cuts short ends in an error', (t) =>
      wedgesMidStream(t, pair, longTokens))
    test('the whole engine is stopped, and goes on', (t) => stopsWhole(t, pair))
    test('SIGTERM in the middle of a stream is reported and failed over', (t) =>
      endsMidStream(t, pair, { signal: 'SIGTERM', longTokens }))
    test('SIGKILL, too, after a new start on the same port', async (t) => {
      pair = { a: await startEngine(own, engine, pair.a.port), b: pair.b }
      await endsMidStream(t, pair, { signal: 'SIGKILL', longTokens })
    })
  })
}

async function probePasses(t: TestContext, pair: Pair): Promise<void> {
  const gate = await gateOver(t, pair)
  const { url, model } = pair.a
  const cli = await runCli(['probe', '--json', '--url', url, '--timeout', '30'], {
    ...engineEnv('VLLM_CPU', pair.a),
    VLLM_MODEL: model,
  })
  assert.equal(cli.code, 0, cli.err)
  const passed = { generation_probe_ok: true, generation_probe_reason: 'ok' }
  assert.partialDeepStrictEqual(JSON.parse(cli.out), passed)
  const models = await (await fetch(`${gate.url}/v1/models`)).json()
  assert.ok(JSON.stringify(models).includes(`"id":"${model}"`), JSON.stringify(models))
}

async function chats(t: TestContext, pair: Pair): Promise<void> {
  const gate = await gateOver(t, pair)
  const unary = await ask(gate, { max_tokens: 8 })
  assert.equal(unary.status, 200)
  assert.equal(servedBy(unary), 'a')
  const body = (await unary.json()) as {
    model: string
    choices: { message: { content: string }; finish_reason: string }[]
  }
  assert.equal(body.model, 'default', 'the name that the client wrote')
  assert.match(body.choices[0]?.finish_reason ?? '', /^(?:length|stop)$/)
  const streamed = await ask(gate, { stream: true, max_tokens: 8 })
  assert.equal(servedBy(streamed), 'a')
  const end = await readStream(streamed)
  assert.ok(end.done && end.error === null && !end.broken, JSON.stringify(end))
  assert.equal(end.text, body.choices[0]?.message.content, 'both ways say the same')
}

/** Requests that an engine refuses, or may refuse. */
const CHAT = '/v1/chat/completions'
const LONG = [{ role: 'user', content: 'long '.repeat(40_000) }]
const REFUSED: readonly (readonly [what: string, path: string, body: Record<string, unknown>])[] = [
  ['a parameter out of range', CHAT, { ...ENDLESS, max_tokens: 2, temperature: 'hot' }],
  ['no messages', CHAT, { max_tokens: 2 }],
  ['embeddings of a model for chat', '/v1/embeddings', { input: 'x' }],
  ['a prompt that is too long', CHAT, { messages: LONG, max_tokens: 2 }],
]

async function errorsPass(t: TestContext, pair: Pair): Promise<void> {
  const { a } = pair
  const gate = await gateOver(t, pair, { GENGATE_UPSTREAMS: `a=${a.url}` })
  // mlx-lm has no embeddings, so the gate refuses them, and no limit: it would read the prompt for minutes.
  const refused = a.engine === 'mlx' ? REFUSED.slice(0, 2) : REFUSED
  for (const [what, path, over] of refused) {
    const body = JSON.stringify({ model: a.model, ...over })
    const direct = await post(`${a.url}${path}`, body)
    const through = await post(`${gate.url}${path}`, body)
    const [said, passed] = [await direct.text(), await through.text()]
    t.diagnostic(`${what}: ${direct.status}, through the gate ${through.status}`)
    if (direct.status >= 500 || direct.status < 400) continue
    assert.equal(through.status, direct.status, `${what}: ${passed}`)
    assert.equal(through.headers.get('content-type'), direct.headers.get('content-type'), what)
    assert.equal(passed, said, what)
  }
  assert.ok(is(SERVING, gate), 'errors of clients are not held against it')
  const unknown = await post(`${gate.url}${CHAT}`, chatBody({ model: 'no-such-model' }))
  assert.equal(unknown.status, 404)
  const { error } = (await unknown.json()) as { error: { code: string } }
  assert.equal(error.code, 'model_not_found')
}

async function aborts(t: TestContext, pair: Pair, longTokens: number): Promise<void> {
  const gate = await gateOver(t, pair)
  // mlx-lm writes a unary answer to its end whoever is there: Python's http.server does not look.
  for (const stream of pair.a.engine === 'mlx' ? [true] : [true, false]) {
    const leave = new AbortController()
    const body = { ...ENDLESS, stream, max_tokens: longTokens }
    const gone = ask(gate, body, leave.signal)
      .then((answer) => answer.text())
      .catch(() => '')
    await until(() => pair.a.isWorking())
    const before = await pair.a.tokens()
    leave.abort()
    await gone
    await until(async () => !(await pair.a.isWorking()))
    const now = await pair.a.tokens()
    if (before !== null && now !== null)
      assert.ok(now - before < longTokens / 2, `${now - before} tokens more`)
  }
}

async function saturates(t: TestContext, pair: Pair, longTokens: number): Promise<void> {
  const { a } = pair
  const gate = await gateOver(t, pair, { GENGATE_UPSTREAMS: `a=${a.url}` })
  const seen = new Set<Reason | undefined>()
  const watch = setInterval(() => seen.add(gate.reason('a')), 50)
  t.after(() => clearInterval(watch))
  const leave = new AbortController()
  const long = ask(gate, { ...ENDLESS, stream: true, max_tokens: longTokens }, leave.signal)
  let ended = ''
  const reading = long
    .then((answer) => answer.text())
    .then((text) => (ended = text.slice(-300)))
    .catch(() => '')
  await gate
    .until(() => ended !== '' || is(/^(?:ok_by_traffic|busy)$/, gate), WAIT_MS)
    .catch((error: Error) => assert.fail(`${error.message} ${gate.lines.slice(-5).join('\n')}`))
  assert.equal(ended, '', 'the long answer goes on')
  const second = ask(gate, { stream: true, max_tokens: 2 })
  if (a.engine === 'mlx') {
    // It takes several requests at a time, so nothing waits there.
    assert.ok((await readStream(await second)).done)
  } else {
    await gate.until(() => gate.reason('a') === 'busy', WAIT_MS)
    const noProbe = watchProbes(gate)
    const end = performance.now() + BUSY_MS
    while (performance.now() < end) {
      await sleep(200)
      noProbe()
    }
  }
  leave.abort()
  await reading
  if (a.engine !== 'mlx')
    assert.ok((await readStream(await second)).done, 'then it is the turn of the second')
  const bad = [...seen].filter((reason) => EJECTED.test(reason ?? ''))
  assert.deepEqual(bad, [], [...seen].join(' '))
}

/**
 * What is called now and then while `a` is full. It throws when a probe was sent although tokens had come
 * within the interval before it. A slow machine may keep the engine from its tokens for longer: such probes
 * are counted and returned. One that was sent before the first token may still be under way.
 */
export function watchProbes(gate: TestGate): () => number {
  const facts = () => gate.app.store.current.entries[0]?.facts
  let sent = facts()?.sentAt ?? null
  let movedAt = facts()?.progressAt ?? 0
  let pausedMs = 0
  let excused = 0
  return () => {
    const { sentAt = null, progressAt = null } = facts() ?? {}
    const pauses = [pausedMs, (progressAt ?? movedAt) - movedAt]
    if (sentAt !== null && sentAt !== sent) {
      // It is decided in the pause and sent when it has connected, by when tokens may come again.
      pauses.push(sentAt - movedAt)
      assert.ok(
        Math.max(...pauses) > PAUSE_MS,
        `a probe was sent after pauses of ${pauses.join(', ')} ms`,
      )
      excused++
    }
    sent = sentAt ?? sent
    if (progressAt !== null && progressAt !== movedAt) {
      pausedMs = progressAt - movedAt
      movedAt = progressAt
    }
    return excused
  }
}
/** Half a second less than an interval, for how seldom it is looked. */
const PAUSE_MS = 1_500

/** How long a slot stays taken in the short test. */
const BUSY_MS = 8_000

async function wedges(t: TestContext, pair: Pair): Promise<void> {
  const { a } = pair
  const gate = await gateOver(t, pair)
  const thaw = await a.freeze()
  const frozenAt = performance.now()
  try {
    const out = gate.until(() => !is(SERVING, gate), WAIT_MS).then(() => performance.now())
    await sleep(SENT_AFTER_MS)
    const first = ask(gate, { max_tokens: 2 })
    for (const path of healthPathsOf(a)) {
      const { status } = await fetch(`${a.url}${path}`, { signal: AbortSignal.timeout(WAIT_MS) })
      assert.equal(status, 200, `${path} while nothing generates`)
    }
    const answer = await first
    const answeredMs = performance.now() - frozenAt - SENT_AFTER_MS
    assert.equal(answer.status, 200)
    assert.equal(servedBy(answer), 'b')
    const outMs = (await out) - frozenAt
    t.diagnostic(`out of rotation ${outMs.toFixed(0)} ms after the freeze (${gate.reason('a')})`)
    t.diagnostic(
      `a request sent 1 s after the freeze was answered by ${pair.b.engine} in ${answeredMs.toFixed(0)} ms`,
    )
    assert.ok(outMs < DETECT_WITHIN_MS + SLACK_MS, `detected after ${outMs.toFixed(0)} ms`)
    assert.equal((await askDirectly(a, {}, 1_000)).status, 0, 'it still does not generate')
    await saysWhy(t, gate, pair)
  } finally {
    await thaw()
  }
  await recovers(t, gate)
}

/** The command's lines for scripts, and the reason that stands after a while. */
async function saysWhy(t: TestContext, gate: TestGate, pair: Pair): Promise<void> {
  const diag = await runCli(['diag'], { ...envOf(pair), GENGATE_PORT: String(gate.port) })
  for (const line of diag.out.trim().split('\n')) t.diagnostic(line)
  assert.match(diag.out, /^local_vllm_endpoint_present=true$/m)
  assert.match(diag.out, /^local_vllm_generation_probe_ok=true$/m)
  assert.match(diag.out, /^local_vllm: eligible=yes reason=ok$/m)
  assert.match(diag.out, /^- a: .*eligible=no reason=generation_probe_failed/m)
  assert.match(diag.out, /^- b: .*eligible=yes reason=ok/m)
  await keepAsking(gate, () => gate.reason('a') === 'wedged')
}

/** Clients go on, so the gate looks often. */
async function keepAsking(gate: TestGate, enough: () => boolean): Promise<void> {
  const end = performance.now() + WAIT_MS
  while (!enough()) {
    if (performance.now() > end) throw new Error(`a is ${gate.reason('a')}`)
    const answer = await ask(gate, { max_tokens: 1 })
    assert.equal(answer.status, 200)
    await answer.text()
    await sleep(100)
  }
}

async function recovers(t: TestContext, gate: TestGate): Promise<void> {
  const thawedAt = performance.now()
  await gate.until(() => is(SERVING, gate), WAIT_MS)
  t.diagnostic(`back ${(performance.now() - thawedAt).toFixed(0)} ms after the thaw`)
  await isServedBy('a', gate)
}

/** Asks once, and reads the answer. */
async function isServedBy(name: string, gate: TestGate): Promise<void> {
  const answer = await ask(gate, { max_tokens: 2 })
  assert.equal(answer.status, 200)
  await answer.text()
  assert.equal(servedBy(answer), name)
}

async function wedgesMidStream(t: TestContext, pair: Pair, longTokens: number): Promise<void> {
  const gate = await gateOver(t, pair)
  const { thaw, end } = await midStream(gate, pair, { longTokens, act: () => pair.a.freeze() })
  try {
    await keepAsking(gate, () => gate.reason('a') === 'wedged')
    isReported(await end)
  } finally {
    await thaw()
  }
  await recovers(t, gate)
}

async function stopsWhole(t: TestContext, pair: Pair): Promise<void> {
  const gate = await gateOver(t, pair)
  pair.a.pause('SIGSTOP')
  try {
    await sleep(SENT_AFTER_MS)
    await isServedBy('b', gate)
    await keepAsking(gate, () => is(EJECTED, gate))
  } finally {
    pair.a.pause('SIGCONT')
  }
  await recovers(t, gate)
}

async function endsMidStream(
  t: TestContext,
  pair: Pair,
  { signal, longTokens }: { readonly signal: NodeJS.Signals; readonly longTokens: number },
): Promise<void> {
  const gate = await gateOver(t, pair)
  const act = () => Promise.resolve(pair.a.signal(signal))
  const { end } = await midStream(gate, pair, { longTokens, act })
  const next = await ask(gate, { max_tokens: 2 })
  assert.equal(next.status, 200, 'the next request is served')
  await next.text()
  isReported(await end)
  const cutAt = performance.now()
  await pair.a.gone
  t.diagnostic(`gone ${(performance.now() - cutAt).toFixed(0)} ms after the stream was cut`)
  await keepAsking(gate, () => gate.reason('a') === 'refused')
  await isServedBy('b', gate)
  t.diagnostic(`${signal}: ${JSON.stringify((await end).error)}`)
}

/** A stream from `a`; `act` is called when its first content is there. */
async function midStream<T>(
  gate: TestGate,
  { a }: Pair,
  { longTokens, act }: { readonly longTokens: number; readonly act: () => Promise<T> },
): Promise<{ readonly thaw: T; readonly end: Promise<StreamEnd> }> {
  const answer = await ask(gate, { ...ENDLESS, stream: true, max_tokens: longTokens })
  assert.equal(servedBy(answer), 'a')
  const end = readStream(answer)
  await until(() => a.isWorking())
  return { thaw: await act(), end }
}

/** Half an answer must not look like a whole one. */
function isReported(end: StreamEnd): void {
  assert.ok(!end.done, 'no [DONE]')
  assert.notEqual(end.error, null, 'an error frame')
  assert.ok(end.events.length > 1, 'after some content')
}

/** What says that all is well while nothing generates. */
function healthPathsOf({ engine }: Running): readonly string[] {
  return engine === 'ollama' ? ['/', '/api/ps', '/v1/models'] : ['/health', '/v1/models']
}

async function gateOver(
  t: TestContext,
  pair: Pair,
  over: Record<string, string> = {},
): Promise<TestGate> {
  const env = { ...envOf(pair), ...over }
  // An engine that went on with an abandoned request finishes that first.
  const gate = await startGate(teardownOf(t), env)
  const names = env['GENGATE_UPSTREAMS']?.includes('b=') === true ? ['a', 'b'] : ['a']
  for (const name of names) await gate.until(() => gate.reason(name) === 'ok', WAIT_MS)
  return gate
}

export function ask(
  gate: { readonly url: string },
  over: Record<string, unknown>,
  signal?: AbortSignal,
): Promise<Response> {
  const body = chatBody({ temperature: 0, ...over })
  return post(`${gate.url}${CHAT}`, body, signal === undefined ? {} : { signal })
}

const until = (check: () => Promise<boolean>): Promise<void> =>
  soon(check, { limitMs: WAIT_MS, everyMs: LOOK_EVERY_MS })

function say(text: string): void {
  process.stdout.write(`# ${text}\n`)
}
