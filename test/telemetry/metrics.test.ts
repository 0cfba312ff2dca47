import * as fc from 'fast-check'
import t from 'tap'
import type { GateEvent } from '../../src/core/event.ts'
import { METRICS, type MetricSpec } from '../../src/telemetry/metric-table.ts'
import { createMetrics, type Scraped } from '../../src/telemetry/metrics.ts'
import { spec, tableConfig, World } from '../support/world.ts'

/** Name and labels → value, from the text format. */
function parse(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(' ')
      return [line.slice(0, space), Number(line.slice(space + 1))]
    }),
  )
}

const inFlightAt = (name: string): number => (name === 'a' ? 2 : 0)

/** Of upstreams of these names, of which each but `b` passed a probe a second before. */
function scrapeOf(...names: readonly string[]): Scraped {
  const world = new World(tableConfig({ specs: names.map((name) => spec({ name })) })).at(1_000)
  for (const name of names) if (name !== 'b') world.pass(name)
  return { table: world.table, nowMs: 2_000, wallMs: 1_800_000_001_500, inFlight: inFlightAt }
}

const ended = (more: Partial<Extract<GateEvent, { type: 'exchange_ended' }>>): GateEvent => ({
  type: 'exchange_ended',
  requestId: 'r',
  method: 'POST',
  path: '/v1/x',
  upstream: 'a',
  status: 200,
  ending: 'finished',
  code: null,
  attempts: 1,
  ttftMs: 10,
  durationMs: 20,
  bytes: 30,
  phase: 'after_commit',
  ...more,
})

const everything = (name: string): GateEvent[] => [
  { type: 'probe_ended', upstream: name, outcome: 'pass', durationMs: 250, tokens: 3 },
  { type: 'probe_ended', upstream: name, outcome: 'wedged?!', durationMs: 250, tokens: 0 },
  { type: 'first_content', upstream: name, ttftMs: 1_500 },
  { type: 'gap', upstream: name, gapMs: 30 },
  { type: 'failover', from: name, why: 'refused' },
  { type: 'replayed', upstream: name },
  ended({ upstream: name }),
  ended({ upstream: name, ending: 'cut' }),
  ended({ upstream: name, ending: 'client_gone', phase: 'before_commit' }),
  ended({ upstream: name, status: 999 }),
]

t.test('createMetrics() counts every event under its frozen name, in seconds', async (t) => {
  const metrics = createMetrics(() => scrapeOf('a', 'b'), '1.2.3')
  for (const event of everything('a')) metrics.observe(event)
  metrics.observe({ type: 'held', requestId: 'r' })
  metrics.observe({ type: 'doubted', why: 'slept', lostMs: 9 })
  metrics.observe({ type: 'route_changed', from: null, to: 'a' })
  metrics.observe({ type: 'refused', requestId: 'r', path: '/', status: 403, code: 'x' })
  metrics.observe({ type: 'bug', where: 'w', message: 'm' })
  const got = parse(await metrics.text())
  const expected: Record<string, number> = {
    'gengate_upstream_eligible{upstream="a"}': 1,
    'gengate_upstream_eligible{upstream="b"}': 0,
    'gengate_upstream_state{upstream="a",state="eligible"}': 1,
    'gengate_upstream_state{upstream="a",state="ejected"}': 0,
    'gengate_upstream_state{upstream="b",state="unknown"}': 1,
    'gengate_upstream_in_flight{upstream="a"}': 2,
    'gengate_upstream_in_flight{upstream="b"}': 0,
    'gengate_probe_deadline_seconds{upstream="a"}': 1,
    'gengate_eject_after_seconds{upstream="a"}': 8,
    'gengate_last_generation_timestamp_seconds{upstream="a"}': 1_800_000_000.5,
    'gengate_probes_total{upstream="a",outcome="pass"}': 1,
    'gengate_probes_total{upstream="a",outcome="other"}': 1,
    'gengate_probe_tokens_total{upstream="a"}': 3,
    'gengate_probe_duration_seconds_sum{upstream="a"}': 0.5,
    'gengate_probe_duration_seconds_bucket{le="0.1",upstream="a"}': 0,
    'gengate_probe_duration_seconds_bucket{le="0.25",upstream="a"}': 2,
    'gengate_time_to_first_token_seconds_sum{upstream="a"}': 1.5,
    'gengate_inter_token_seconds_sum{upstream="a"}': 0.03,
    'gengate_failovers_total{upstream="a"}': 1,
    'gengate_failovers_total{upstream="b"}': 0,
    'gengate_replays_total{upstream="a"}': 1,
    'gengate_requests_total{upstream="a",code="200"}': 3,
    'gengate_requests_total{upstream="a",code="other"}': 1,
    'gengate_requests_total{upstream="-",code="403"}': 1,
    'gengate_midstream_failures_total{upstream="a"}': 1,
    'gengate_client_aborts_total{upstream="a",phase="before_commit"}': 1,
    'gengate_doubts_total{why="slept"}': 1,
    gengate_holds_total: 1,
    gengate_route_changes_total: 1,
    gengate_bugs_total: 1,
    gengate_config_last_reload_successful: 1,
    [`gengate_build_info{version="1.2.3",node="${process.version}"}`]: 1,
  }
  for (const [series, value] of Object.entries(expected)) t.equal(got.get(series), value, series)
  t.notOk(got.has('gengate_last_generation_timestamp_seconds{upstream="b"}'), 'never')
  t.ok(got.has('process_cpu_seconds_total'), 'default metrics')
  t.match(metrics.contentType, /^text\/plain; version=0\.0\.4/)
})

t.test('createMetrics() has every metric of the table and no other of ours', async (t) => {
  const metrics = createMetrics(() => scrapeOf('a'), '1')
  const text = await metrics.text()
  const named = [...text.matchAll(/^# TYPE (gengate_\S+ \S+)$/gm)].map(([, told]) => told)
  const table: Record<string, MetricSpec> = METRICS
  const expected = Object.entries(table).map(([name, { kind }]) => `${name} ${kind}`)
  t.strictSame(new Set(named), new Set(expected))
  for (const [name, { kind, buckets }] of Object.entries(table)) {
    const what = `${name}: counters and only they end in _total`
    t.equal(kind === 'counter', name.endsWith('_total'), what)
    t.equal(kind === 'histogram', buckets !== undefined, name)
    const sorted = buckets?.toSorted((x, y) => x - y)
    t.strictSame(buckets, sorted, name)
  }
})

t.test('an upstream that is gone is gone from every series at the next scrape', async (t) => {
  let view = scrapeOf('a', 'b')
  const metrics = createMetrics(() => view, '1')
  for (const event of [...everything('a'), ...everything('b')]) metrics.observe(event)
  t.match(await metrics.text(), 'upstream="b"')
  view = scrapeOf('a')
  const text = await metrics.text()
  t.notMatch(text, 'upstream="b"')
  t.match(text, 'gengate_inter_token_seconds_count{upstream="a"} 1')
  metrics.observe({ type: 'gap', upstream: 'b', gapMs: 30 })
  t.notMatch(await metrics.text(), 'upstream="b"', 'nor does a late event bring it back for long')
  view = scrapeOf('a', 'b')
  metrics.observe({ type: 'gap', upstream: 'b', gapMs: 30 })
  t.match(await metrics.text(), 'gengate_inter_token_seconds_count{upstream="b"} 1', 'back, from 0')
})

t.test('a reload that failed shows until one works', async (t) => {
  const metrics = createMetrics(() => scrapeOf(), '1')
  const shown = async (): Promise<number | undefined> =>
    parse(await metrics.text()).get('gengate_config_last_reload_successful')
  metrics.observe({ type: 'config_reloaded', ok: false, notes: [] })
  t.equal(await shown(), 0)
  metrics.observe({ type: 'config_reloaded', ok: true, notes: [] })
  t.equal(await shown(), 1)
})

t.test('no input makes the number of series grow without bound', async (t) => {
  const metrics = createMetrics(() => scrapeOf('a'), '1')
  const random = fc.sample(fc.record({ text: fc.string(), status: fc.double() }), 2_000)
  for (const { text, status } of random) {
    metrics.observe(ended({ status, path: text, requestId: text, code: text }))
    metrics.observe({ type: 'probe_ended', upstream: 'a', outcome: text, durationMs: 1, tokens: 0 })
  }
  const ours = [...parse(await metrics.text()).keys()].filter((name) => name.startsWith('gengate_'))
  t.ok(ours.length < 120, `${ours.length} series`)
})
