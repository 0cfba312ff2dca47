import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { UpstreamSpec } from '../../src/core/upstream.ts'
import { quirksOf } from '../../src/engines/index.ts'
import { probeOnce } from '../../src/probe/round.ts'
import { Prober } from '../../src/probe/prober.ts'
import { type ProbeCall, runProbe } from '../../src/probe/generate.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import { TableStore } from '../../src/state/table-store.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { config } from '../probe/fake-wire.ts'
import { spec } from '../support/world.ts'

// Rows of docs/faults.md that are shown here: F06.

/** A prober on real sockets and real time, quick enough for a test. */
function live(t: Test, over: Partial<UpstreamSpec>): { store: TableStore; reason: () => string } {
  const health = { detectWithinMs: 1_200, intervalMs: 200, quietIntervalMs: 200 }
  const table = { ...config(spec(over)), health }
  const store = new TableStore(table, () => systemClock.nowMs())
  const prober = new Prober({
    store,
    clock: systemClock,
    random: systemRandom,
    emit: () => {},
    keyOf: () => null,
    connectTimeoutMs: () => 500,
    probeMaxTokens: () => 1,
  })
  t.teardown(() => prober.stop())
  prober.start()
  store.apply({ type: 'client_active', at: systemClock.nowMs() })
  return { store, reason: () => store.current.entries[0]?.reason ?? '' }
}

async function until(what: () => boolean, withinMs: number): Promise<boolean> {
  const endAt = performance.now() + withinMs
  while (!what() && performance.now() < endAt) await pause(10)
  return what()
}

t.test('Prober on real sockets: admitted, suspect, wedged, and back after the thaw', async (t) => {
  const up = await fakeUpstream(t)
  const { reason } = live(t, { url: up.url })
  t.ok(await until(() => reason() === 'ok', 2_000))
  up.freeze()
  t.ok(await until(() => reason() === 'probe_missed', 2_000), 'suspect')
  t.ok(await until(() => reason() === 'wedged', 5_000), 'ejected')
  const asked = up.generations.length
  await pause(1_000)
  t.equal(up.generations.length, asked, 'one probe is out, no more')
  up.thaw()
  t.ok(await until(() => reason() === 'ok', 3_000), 'recovered')
})

t.test('Prober never loads a model of an Ollama', async (t) => {
  const up = await fakeUpstream(t, { loaded: [], models: ['a', 'b'] })
  const { reason, store } = live(t, { url: up.url, engine: 'ollama' })
  t.ok(await until(() => reason() === 'model_not_loaded', 2_000))
  await pause(1_000)
  t.equal(up.coldLoads, 0)
  t.equal(up.generations.length, 0)
  t.strictSame(
    store.current.entries[0]?.facts.models?.map(({ id }) => id),
    ['a', 'b'],
  )
  up.options.loaded = ['b:latest']
  t.ok(await until(() => reason() === 'ok', 3_000), 'once a client loaded it')
})

t.test('runProbe() against a process that is really stopped', async (t) => {
  const { child, url } = await server(t)
  t.equal((await runProbe(call(url))).kind, 'pass')
  child.kill('SIGSTOP')
  let sent = 0
  const silent = await runProbe(call(url, { limitMs: 300, onSent: () => sent++ }))
  t.equal(silent.kind, 'timeout', 'the kernel accepts, nobody reads')
  t.equal(sent, 1)
  const waiting = runProbe(call(url))
  await pause(100)
  child.kill('SIGCONT')
  t.equal((await waiting).kind, 'pass', 'the outstanding probe sees it thaw')
})

t.test('runProbe() while nothing accepts the connection', async (t) => {
  const { child, url } = await server(t)
  child.kill('SIGSTOP')
  // A stopped server with a full backlog lets every further connection hang.
  const fillers = Array.from({ length: 4 }, () => connect(Number(new URL(url).port), '127.0.0.1'))
  for (const filler of fillers) filler.on('error', () => {})
  t.teardown(() => fillers.forEach((filler) => filler.destroy()))
  await pause(100)
  let sent = 0
  const target = { url, apiKey: null, connectTimeoutMs: 300 }
  const outcome = await runProbe(call(url, { target, onSent: () => sent++ }))
  t.strictSame(outcome, { kind: 'fail', reason: 'unreachable', detail: 'UND_ERR_CONNECT_TIMEOUT' })
  t.equal(sent, 0, 'nothing was sent: this is no wedge')
  const leaving = new AbortController()
  const patient = { ...target, connectTimeoutMs: 30_000 }
  await pause(20)
  const before = sockets()
  const running = runProbe(call(url, { target: patient, signal: leaving.signal }))
  await pause(50)
  t.equal(sockets(), before + 1)
  leaving.abort()
  t.equal((await running).kind, 'inconclusive')
  await pause(20)
  t.equal(sockets(), before, 'the half-open connection is gone too')
})

t.test('probeOnce() tells outcome and models of a server without a table', async (t) => {
  const up = await fakeUpstream(t, { models: ['tiny'] })
  const ask = () =>
    probeOnce({
      target: { url: up.url, apiKey: null, connectTimeoutMs: 500 },
      engine: 'openai',
      model: null,
      maxTokens: 1,
      limitMs: 300,
      clock: systemClock,
      signal: new AbortController().signal,
    })
  t.match(await ask(), { outcome: { kind: 'pass' }, models: ['tiny'] })
  up.freeze()
  t.match(await ask(), { outcome: { kind: 'timeout', limitMs: 300 }, models: ['tiny'] })
})

function call(url: string, over: Partial<ProbeCall> = {}): ProbeCall {
  return {
    target: { url, apiKey: null, connectTimeoutMs: 500 },
    quirks: quirksOf('vllm'),
    kind: 'chat',
    model: null,
    maxTokens: 1,
    limitMs: 5_000,
    clock: systemClock,
    signal: new AbortController().signal,
    onSent: () => {},
    ...over,
  }
}

/** TCP sockets of this process, connected or about to be. */
function sockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length
}

const SERVER = `
const answer = JSON.stringify({ choices: [{ finish_reason: 'stop' }], usage: { completion_tokens: 1 } })
const server = require('node:http').createServer((req, res) => {
  req.resume().on('end', () => res.setHeader('content-type', 'application/json').end(answer))
})
server.listen(0, '127.0.0.1', 1, () => console.log(server.address().port))
`

/** A server in a process of its own, which can be stopped. */
async function server(t: Test): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, ['-e', SERVER], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => stop(child))
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, url: `http://127.0.0.1:${line.toString().trim()}` }
}

async function stop(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}
