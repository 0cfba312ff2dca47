import t from 'tap'
import { plainModel } from '../../src/core/model/model-choice.ts'
import { durationText, hintOf, reasonsText, retryAfterMs } from '../../src/core/explain.ts'
import { emptyTable, nextTable, type RoutingTable } from '../../src/core/table.ts'
import type { UpstreamSpec } from '../../src/core/upstream.ts'
import { spec as specOf, tableConfig, World } from '../support/world.ts'

const spec = (name: string, more: Partial<UpstreamSpec> = {}): UpstreamSpec =>
  specOf({ name, url: 'http://127.0.0.1:8001', ...more })

const tableOf = (specs: readonly UpstreamSpec[], at = 0): RoutingTable => {
  const config = tableConfig({ specs })
  return nextTable(emptyTable(config), { type: 'configured', at, config })
}

t.test('reasonsText() names every upstream, its reason, how long, and what to do', async (t) => {
  const before = tableOf([spec('vllm_cpu'), spec('ollama', { intent: 'draining' })])
  const table = nextTable(before, {
    type: 'evidence',
    name: 'vllm_cpu',
    epoch: 1,
    evidence: {
      type: 'probe_ended',
      at: 1_000,
      outcome: { kind: 'fail', reason: 'unauthorized', detail: 'http_401' },
    },
  })
  t.equal(
    reasonsText(table, 13_000),
    'vllm_cpu: unauthorized for 12 s (It refuses our key. Set GENGATE_VLLM_CPU_API_KEY.); ' +
      'ollama: draining for 13 s (The operator set it to draining.)',
  )
  const [entry] = table.entries
  t.notMatch(entry === undefined ? '' : hintOf(entry, 0), '<NAME>')
  t.match(reasonsText(tableOf([]), 0), 'No upstream is configured')
})

t.test('retryAfterMs() is about the next probe, and a number when there is none', async (t) => {
  t.equal(retryAfterMs(tableOf([spec('a')]), 0), 1_000, 'the first probe is due')
  t.equal(retryAfterMs(tableOf([spec('a', { probe: 'passive' })]), 0), 1_000, 'nobody probes')
  const failed = nextTable(tableOf([spec('a')]), {
    type: 'evidence',
    name: 'a',
    epoch: 1,
    evidence: {
      type: 'probe_ended',
      at: 0,
      outcome: { kind: 'fail', reason: 'refused', detail: 'ECONNREFUSED' },
    },
  })
  t.equal(retryAfterMs(failed, 1_000), 5_000, 'five seconds while nobody is active')
})

t.test('hintOf() promises no load and no name where there is none', async (t) => {
  const cold = { kind: 'cold' } as const
  const never = new World(tableConfig({ specs: [spec('a', { engine: 'ollama', cold: 'never' })] }))
  never.tell('a', { type: 'models', at: 0, models: [plainModel('x'), plainModel('y')] })
  never.sent('a').tell('a', { type: 'probe_ended', at: 0, outcome: cold })
  t.match(hintOf(never.entry('a'), 0), 'GENGATE_A_COLD is never: no request loads one')
  const empty = new World(tableConfig({ specs: [spec('a', { engine: 'openai' })] }))
  empty.tell('a', { type: 'models', at: 0, models: [] })
  const unknown = { kind: 'fail', reason: 'model_not_found', detail: '' } as const
  empty.sent('a').tell('a', { type: 'probe_ended', at: 0, outcome: unknown })
  t.match(hintOf(empty.entry('a'), 0), 'It lists no model.')
})

t.test('hintOf() promises no probe where none is sent', async (t) => {
  const world = new World(tableConfig({ specs: [specOf({ probe: 'passive' })] }))
  t.match(hintOf(world.entry('a'), 0), 'Nobody probes it (GENGATE_A_PROBE=passive)')
})

t.test('hintOf() says that a wedged node still serves embeddings', async (t) => {
  const world = new World().pass('a').sent('a').at(8_000)
  t.match(hintOf(world.entry('a'), 8_000), /Restart the engine\.$/)
  world.tell('a', { type: 'work_done', at: 8_000, work: 'embedding', tookMs: 9 })
  t.match(hintOf(world.entry('a'), 8_000), 'Restart the engine. It still serves embeddings.')
})

t.test('durationText() speaks in the unit that people would use', async (t) => {
  const cases: [number, string][] = [
    [-5, '0 s'],
    [0.4, '0 s'],
    [43.2, '43 ms'],
    [999, '999 ms'],
    [1_500, '1.5 s'],
    [9_940, '9.9 s'],
    [9_960, '10 s'],
    [12_000, '12 s'],
    [119_400, '119 s'],
    [300_000, '5 min'],
    [7_200_000, '2 h'],
    [400_000_000, '4 d'],
  ]
  for (const [ms, text] of cases) t.equal(durationText(ms), text)
})
