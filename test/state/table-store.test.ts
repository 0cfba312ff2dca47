import t from 'tap'
import type { RoutingTable } from '../../src/core/table.ts'
import { TableStore } from '../../src/state/table-store.ts'
import { tableConfig } from '../support/world.ts'

const pass = (at: number) =>
  ({ type: 'probe_ended', at, outcome: { kind: 'pass', latencyMs: 1, tokens: 1 } }) as const

function store(): { store: TableStore; clock: { now: number } } {
  const clock = { now: 0 }
  return { store: new TableStore(tableConfig(), () => clock.now), clock }
}

t.test('apply() replaces the table and tells listeners once, before and after', async (t) => {
  const { store: cell } = store()
  const before = cell.current
  const told: [RoutingTable, RoutingTable][] = []
  const stop = cell.subscribe((...pair) => told.push(pair))
  cell.apply({
    type: 'evidence',
    name: 'a',
    epoch: before.entries[0]?.epoch ?? 0,
    evidence: pass(0),
  })
  t.equal(told.length, 1)
  t.equal(told[0]?.[0], cell.current)
  t.equal(told[0]?.[1], before)
  stop()
  cell.apply({ type: 'tick', at: 1 })
  t.equal(told.length, 1)
})

t.test('onVisible() tells only what a reader can see', async (t) => {
  const { store: cell } = store()
  const { epoch } = cell.current.entries[0] ?? { epoch: 0 }
  let told = 0
  const stop = cell.onVisible(() => told++)
  cell.apply({ type: 'client_active', at: 1 })
  cell.apply({ type: 'evidence', name: 'a', epoch, evidence: { type: 'probe_sent', at: 1 } })
  t.equal(told, 0)
  cell.apply({ type: 'evidence', name: 'a', epoch, evidence: pass(1) })
  t.equal(told, 1)
  stop()
  cell.apply({ type: 'configured', at: 2, config: tableConfig() })
  t.equal(told, 1)
})

t.test('current changes the verdicts that only time changes', async (t) => {
  const { store: cell, clock } = store()
  const { epoch } = cell.current.entries[0] ?? { epoch: 0 }
  cell.apply({ type: 'evidence', name: 'a', epoch, evidence: pass(0) })
  clock.now = 179_999
  t.equal(cell.current.entries[0]?.reason, 'ok')
  clock.now = 180_000
  t.equal(cell.current.entries[0]?.reason, 'stale')
})

t.test('apply() from within a listener tells everybody of both changes, in order', async (t) => {
  const { store: cell } = store()
  const heard: number[] = []
  cell.subscribe((now) => {
    if (now.activeAt === null) cell.apply({ type: 'client_active', at: 5 })
  })
  cell.subscribe((now) => heard.push(now.activeAt ?? -1))
  cell.apply({ type: 'tick', at: 1 })
  t.strictSame(heard, [-1, 5])
})
