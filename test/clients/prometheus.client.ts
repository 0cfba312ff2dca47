import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { METRICS, type MetricSpec } from '../../src/telemetry/metric-table.ts'
import { chatBody, post, readStream } from '../support/ask.ts'
import { FakeUpstream } from '../support/fake-upstream.ts'
import { ENGINE_PROGRAM, freePort } from '../support/owned.ts'
import { startGate, type TestGate } from '../support/start-gate.ts'
import { prometheusProgram } from './installed.ts'
import { type Prometheus, startPrometheus, type Vector } from './prometheus.ts'
import { stage, teardownOf } from './stage.ts'

// Goal: whatever docs/metrics.md promises can be had by a real Prometheus, and its rules fire.
// Method: one gate, two upstreams, traffic that ends in every way; all questions go to Prometheus.

const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
const rules = /```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
const documented = [...page.matchAll(/^\| `(gengate_\w+)` \|/gm)].map((match) => match[1] ?? '')
const table: Readonly<Record<string, MetricSpec>> = METRICS

interface World {
  readonly a: FakeUpstream
  readonly b: FakeUpstream
  readonly gate: TestGate
  readonly env: Record<string, string>
  readonly prometheus: Prometheus
  readonly chat: string
}

async function world(t: TestContext): Promise<World> {
  const ends = teardownOf(t)
  const [a, b] = [new FakeUpstream(SLOW), new FakeUpstream(SLOW)]
  for (const fake of [a, b]) {
    ends.teardown(() => fake.close())
    await fake.listen()
  }
  const state = mkdtempSync(join(tmpdir(), 'gengate-state-'))
  ends.teardown(async () => rmSync(state, { recursive: true }))
  const env = {
    GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`,
    GENGATE_HOLD_MS: '300',
    XDG_STATE_HOME: state,
  }
  const gate = await startGate(ends, env)
  await gate.untilReason('a', 'ok')
  await gate.untilReason('b', 'ok')
  const prometheus = await startPrometheus(ends, { port: gate.port, rules })
  await prometheus.until('up == 1')
  return { a, b, gate, env, prometheus, chat: `${gate.url}/v1/chat/completions` }
}
const SLOW = { models: ['m'], tokens: 5, gapMs: 20 }

test('Prometheus reads the gate', async (t) => {
  const { gate, prometheus, ...rest } = await world(t)
  const all = { gate, prometheus, ...rest }
  await t.test('the scrape succeeds', async () => {
    const { activeTargets } = await prometheus.api<{
      activeTargets: readonly { health: string; lastError: string }[]
    }>('targets')
    assert.equal(activeTargets.length, 1)
    assert.partialDeepStrictEqual(activeTargets[0], { health: 'up', lastError: '' })
  })

  const before = await totals(prometheus)
  await t.test('in-flight requests show while they run', () => inFlight(all))
  await t.test('traffic of every kind', () => traffic(all))
  await t.test('an engine that the gate owns ends and is started again', () => ownedEngine(all))
  await prometheus.seen()
  const after = await totals(prometheus)

  await t.test('every documented metric has its kind and its help', () => metadata(prometheus))
  for (const name of documented) {
    await t.test(`${name} has series with its labels`, () => series(prometheus, name))
  }
  for (const name of MOVES) {
    await t.test(`${name} moves`, () => {
      const [was, is] = [before.get(name) ?? 0, after.get(name) ?? 0]
      assert.ok(is > was, `${was} → ${is}`)
    })
  }
  await t.test('gengate_bugs_total does not move', () => {
    assert.equal(after.get('gengate_bugs_total'), 0)
  })
  gate.reload(rest.env)
  await prometheus.seen()
  await t.test('gauges tell where the upstreams are', () => gauges(all))
  await t.test('the rules of the page load and fire', () => alerts(all))
  await t.test('series of an upstream that leaves are gone', () => leaving(all))
})

/** Everything that counts something: what traffic must have moved. */
const MOVES = documented.filter(
  (name) => table[name]?.kind !== 'gauge' && name !== 'gengate_bugs_total',
)

/** The sum over all series, by documented name; of histograms the number of observations. */
async function totals(prometheus: Prometheus): Promise<Map<string, number | null>> {
  const sums = documented.map(async (name) => {
    const series = table[name]?.kind === 'histogram' ? `${name}_count` : name
    return [name, await prometheus.value(`sum(${series})`)] as const
  })
  return new Map(await Promise.all(sums))
}

async function inFlight({ a, chat, prometheus }: World): Promise<void> {
  a.options.tokens = 100
  const gone = new AbortController()
  const answer = await post(chat, chatBody({ stream: true }), { signal: gone.signal })
  await prometheus.until('gengate_upstream_in_flight{upstream="a"} == 1')
  gone.abort()
  assert.equal(answer.status, 200)
  await prometheus.until('gengate_upstream_in_flight{upstream="a"} == 0')
  a.options.tokens = 5
}

async function traffic({ a, b, chat, gate }: World): Promise<void> {
  assert.equal((await readStream(await post(chat, chatBody({ stream: true })))).done, true)
  assert.equal((await post(chat, chatBody({ model: 'nope' }))).status, 404)
  // Leaves before the first content.
  a.options.ttftMs = 5_000
  const gone = AbortSignal.timeout(100)
  await assert.rejects(post(chat, chatBody(), { signal: gone }))
  a.options.ttftMs = 0
  // Fails before the first content: the other one answers.
  a.status(500)
  assert.equal((await post(chat, chatBody())).headers.get('x-gengate-upstream'), 'b')
  a.ok()
  await gate.untilReason('a', 'ok', 'ok_by_traffic')
  // A connection that is used again dies at once: the request goes out on a fresh one.
  await (await post(chat, chatBody())).text()
  a.handlers.set('/v1/chat/completions', (req) => {
    a.handlers.clear()
    req.socket.destroy()
  })
  assert.equal((await post(chat, chatBody())).headers.get('x-gengate-upstream'), 'a')
  // Fails after it.
  a.cutAfter(2, 'reset')
  assert.equal((await readStream(await post(chat, chatBody({ stream: true })))).broken, true)
  a.ok()
  // Both end: the route changes, then requests are held and refused.
  await a.refuse()
  await post(chat, chatBody())
  await gate.untilReason('a', 'refused')
  await b.refuse()
  await post(chat, chatBody())
  await gate.untilReason('b', 'refused')
  assert.equal((await post(chat, chatBody())).status, 503)
  // The gate, in this process, does not run for a while.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STALL_MS)
}
/** Later than the gate calls late, on top of the time until it looks. */
const STALL_MS = 1_500

async function ownedEngine({ env, gate, prometheus }: World): Promise<void> {
  const port = await freePort()
  const c = `c=http://127.0.0.1:${port}`
  gate.reload({
    ...env,
    GENGATE_UPSTREAMS: `${env['GENGATE_UPSTREAMS']},${c}`,
    GENGATE_C_RUN: `'${process.execPath}' '${ENGINE_PROGRAM}' ${port}`,
  })
  await gate.untilReason('c', 'ok')
  await fetch(`http://127.0.0.1:${port}/control/exit`).catch(() => undefined)
  await prometheus.until('gengate_engine_restarts_total{upstream="c", reason="exited"} == 1')
  await prometheus.until('gengate_engine_state{upstream="c", state="running"} == 1')
}

async function metadata(prometheus: Prometheus): Promise<void> {
  const told =
    await prometheus.api<Record<string, readonly { type: string; help: string }[]>>('metadata')
  for (const name of documented) {
    const { kind: type, help } = table[name] ?? { kind: '', help: '' }
    assert.deepEqual(told[name], [{ type, help, unit: '' }], name)
  }
  const undocumented = Object.keys(told).filter(
    (name) => name.startsWith('gengate_') && !documented.includes(name),
  )
  assert.deepEqual(undocumented, [])
}

async function series(prometheus: Prometheus, name: string): Promise<void> {
  const { kind, labels = [] } = table[name] ?? {}
  const query = kind === 'histogram' ? `${name}_bucket` : name
  const { result } = await prometheus.api<Vector>('query', { query })
  assert.ok(result.length > 0, 'there is none')
  const scraped = ['__name__', 'instance', 'job', ...(kind === 'histogram' ? ['le'] : [])]
  for (const { metric, value } of result) {
    assert.deepEqual(Object.keys(metric).toSorted(), [...scraped, ...labels].toSorted())
    assert.ok(Number.isFinite(Number(value[1])), value[1])
  }
  if (kind !== 'histogram') return
  const quantile = await prometheus.value(
    `histogram_quantile(0.5, sum by (le) (${name}_bucket)) > 0`,
  )
  assert.ok(quantile !== null, 'it has a median')
}

async function gauges({ prometheus }: World): Promise<void> {
  assert.equal(await prometheus.value('sum(gengate_upstream_eligible)'), 0)
  assert.equal(await prometheus.value('sum(gengate_upstream_state{state="ejected"})'), 2)
  assert.equal(await prometheus.value('sum(gengate_upstream_state)'), 2, 'one state each')
  const age = await prometheus.value('max(time() - gengate_last_generation_timestamp_seconds)')
  assert.ok(age !== null && age >= 0 && age < 60, `${age} s`)
  assert.equal(await prometheus.value(`gengate_build_info{node="${process.version}"}`), 1)
  assert.equal(await prometheus.value('gengate_config_last_reload_successful'), 1)
}

async function alerts({ gate, prometheus }: World): Promise<void> {
  gate.reload({ GENGATE_UPSTREAMS: 'a=nonsense' })
  await prometheus.until('ALERTS{alertname="ConfigurationNotInForce", alertstate="firing"}')
  await prometheus.until('ALERTS{alertname="AnswersAreCut", alertstate="firing", upstream="a"}')
  await prometheus.until('ALERTS{alertname="NothingGenerates", alertstate="pending"}')
  const { groups } = await prometheus.api<{
    groups: readonly { rules: readonly { name: string; health: string; lastError?: string }[] }[]
  }>('rules')
  const loaded = groups.flatMap((group) => group.rules)
  assert.equal(loaded.length, [...rules.matchAll(/- alert:/g)].length)
  for (const { name, health, lastError } of loaded)
    assert.equal(health, 'ok', `${name} ${lastError}`)
}

async function leaving({ a, gate, prometheus }: World): Promise<void> {
  gate.reload({ GENGATE_UPSTREAMS: `a=${a.url}` })
  await prometheus.until('gengate_config_last_reload_successful == 1')
  await prometheus.seen()
  assert.equal(await prometheus.value('count({upstream="b", __name__=~"gengate_.+"})'), null)
  assert.notEqual(await prometheus.value('count({upstream="a", __name__=~"gengate_.+"})'), null)
}

test('promtool finds no fault in the names and types of the gate', async (t) => {
  const { gate } = await stage(t)
  const metrics = await (await fetch(`${gate.url}/metrics`)).text()
  const { stderr, stdout, status } = spawnSync(
    prometheusProgram('promtool'),
    ['check', 'metrics'],
    { input: metrics, encoding: 'utf8' },
  )
  // 1 is text that does not parse; 3 is advice, which prom-client's own nodejs_* get.
  assert.notEqual(status, 1, stderr)
  const ours = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('gengate_'))
  assert.deepEqual(ours, [])
})
