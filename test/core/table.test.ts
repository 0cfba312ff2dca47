import t from 'tap'
import { nextTable, shownReason, stateOf } from '../../src/core/table.ts'
import { servesOf } from '../../src/core/route.ts'
import { spec, tableConfig, World } from '../support/world.ts'

// Rows of docs/faults.md that are shown here: F23.

// Goal: what a verdict alone does not know: hysteresis, epochs, intent, generations.

const ready = () => new World().pass('a').pass('b').active()
const failure = (world: World, reason: 'refused' | 'unauthorized' | 'model_not_found') =>
  ({ type: 'probe_ended', at: world.now, outcome: { kind: 'fail', reason, detail: '' } }) as const
const refuse = (world: World, name = 'a') => world.sent(name).tell(name, failure(world, 'refused'))

t.test('nextTable() admits after an ejection only by two passes', async (t) => {
  const world = refuse(ready().at(2_000))
  t.equal(world.reason('a'), 'refused')
  t.equal(world.at(2_500).pass('a').reason('a'), 'refused')
  t.equal(world.at(3_000).pass('a').reason('a'), 'ok')
})

t.test('nextTable() admits a new upstream by its first pass', async (t) => {
  const world = refuse(new World())
  t.equal(world.reason('a'), 'refused')
  t.equal(world.at(2_000).pass('a').reason('a'), 'ok', 'it was never serving, so it owes nothing')
})

t.test('nextTable() gives the first ejection no hold-down and doubles later ones', async (t) => {
  const world = ready()
  const heldFor: number[] = []
  for (let flap = 0; flap < 4; flap++) {
    refuse(world.at(world.now + 1_000))
    world
      .at(world.now + 500)
      .pass('a')
      .at(world.now + 500)
      .pass('a')
    const from = world.now
    while (world.reason('a') === 'hold_down')
      world
        .at(world.now + 500)
        .pass('a')
        .pass('b')
    heldFor.push(world.now - from)
  }
  t.equal(heldFor[0], 0)
  t.ok((heldFor[1] ?? 0) >= 4_000 && (heldFor[1] ?? 0) <= 5_000, `second ${heldFor[1]}`)
  t.ok((heldFor[2] ?? 0) >= 9_000 && (heldFor[2] ?? 0) <= 10_000, `third ${heldFor[2]}`)
  t.ok((heldFor[3] ?? 0) >= 19_000 && (heldFor[3] ?? 0) <= 20_000, `fourth ${heldFor[3]}`)
})

t.test('nextTable() holds a crash loop down that comes back by way of loading', async (t) => {
  const world = ready()
  const loading = { kind: 'fail', reason: 'loading', detail: 'http_503' } as const
  for (let crash = 0; crash < 2; crash++) {
    refuse(world.at(world.now + 1_000))
    world.at(world.now + 500).sent('a')
    world.tell('a', { type: 'probe_ended', at: world.now, outcome: loading })
    world.at(world.now + 500).pass('a')
    t.equal(world.reason('a'), crash === 0 ? 'ok' : 'hold_down')
  }
  t.equal(
    world
      .at(world.now + 4_500)
      .pass('a')
      .reason('a'),
    'ok',
  )
})

t.test('nextTable() holds down on, whatever it was between two proofs', async (t) => {
  /** How its proof comes to nothing. */
  const ends: Record<string, (world: World) => World> = {
    // Nobody could probe while this process stood still.
    stale: (world) => world.at(world.now + 6_500),
    unauthorized: (world) => world.sent('a').tell('a', failure(world, 'unauthorized')),
    model_not_found: (world) => world.sent('a').tell('a', failure(world, 'model_not_found')),
  }
  for (const [reason, end] of Object.entries(ends)) {
    const world = ready()
    for (let crash = 0; crash < 3; crash++) {
      refuse(world.at(world.now + 1_000))
      world.at(world.now + 500).pass('a')
      if (crash < 2) world.at(world.now + 10_000)
      world.pass('a')
    }
    t.equal(world.reason('a'), 'hold_down')
    t.equal(end(world).reason('a'), reason)
    t.equal(world.pass('a').reason('a'), 'hold_down', `after ${reason}`)
    t.equal(
      world
        .at(world.now + 10_000)
        .pass('a')
        .reason('a'),
      'ok',
    )
  }
})

t.test('nextTable() lets progress alone take back a wedge verdict', async (t) => {
  const world = ready().at(1_000).sent('a').at(9_000)
  t.equal(world.reason('a'), 'wedged')
  t.equal(world.progress('a').reason('a'), 'busy')
})

t.test(
  'nextTable() keeps what it knows of an unchanged upstream and forgets a moved one',
  async (t) => {
    const world = ready()
    const config = tableConfig({
      specs: [
        spec({ name: 'b', url: 'http://127.0.0.1:10' }),
        spec({ name: 'a', url: 'http://127.0.0.1:99' }),
      ],
    })
    const table = nextTable(world.table, { type: 'configured', at: 10, config })
    t.strictSame(
      table.entries.map((e) => [e.spec.name, e.reason]),
      [
        ['b', 'ok'],
        ['a', 'not_probed_yet'],
      ],
    )
    t.ok((table.entries[1]?.epoch ?? 0) > world.entry('a').epoch)
  },
)

t.test('nextTable() drops evidence of an older epoch', async (t) => {
  const world = ready()
  const old = world.entry('a').epoch
  const config = tableConfig({ specs: [spec({ name: 'a', url: 'http://127.0.0.1:99' })] })
  let table = nextTable(world.table, { type: 'configured', at: 10, config })
  const outcome = { kind: 'pass', latencyMs: 1, tokens: 1 } as const
  table = nextTable(table, {
    type: 'evidence',
    name: 'a',
    epoch: old,
    evidence: { type: 'probe_ended', at: 20, outcome },
  })
  t.equal(table.entries[0]?.reason, 'not_probed_yet')
})

t.test('nextTable() bumps the generation only for what a reader can see', async (t) => {
  const world = ready()
  const { generation } = world.table
  world.at(1_000).pass('a')
  t.equal(world.table.generation, generation)
  refuse(world)
  t.equal(world.table.generation, generation + 1)
})

t.test('stateOf() shows the intent of the operator before the evidence', async (t) => {
  for (const intent of ['draining', 'disabled'] as const) {
    const world = new World(tableConfig({ specs: [spec({ intent })] })).pass('a')
    t.equal(stateOf(world.entry('a')), intent)
    t.equal(shownReason(world.entry('a')), intent)
    t.equal(servesOf(world.entry('a')), 'no')
    t.equal(world.reason('a'), 'ok', 'the evidence is kept beside it')
  }
})

t.test('servesOf() follows the cold policy', async (t) => {
  for (const [cold, serves] of [
    ['on_demand', 'on_demand'],
    ['never', 'no'],
  ] as const) {
    const world = new World(tableConfig({ specs: [spec({ cold })] })).sent('a')
    world.tell('a', { type: 'probe_ended', at: 0, outcome: { kind: 'cold' } })
    t.equal(stateOf(world.entry('a')), 'cold')
    t.equal(servesOf(world.entry('a')), serves)
  }
})

t.test('the table is a plain value that survives structuredClone()', async (t) => {
  const world = ready().at(1_000).progress('a')
  t.strictSame(structuredClone(world.table), world.table)
})
