import t from 'tap'
import { Holds, Leases } from '../../src/proxy/leases.ts'
import { TableStore } from '../../src/state/table-store.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { tableConfig } from '../support/world.ts'

const item = (sentAt: number) => ({
  sentAt,
  bytes: 9,
  streamed: true,
  contentAt: null,
  maxTokens: null,
})

t.test('a lease is counted until its release, once', async (t) => {
  const leases = new Leases()
  let freed = 0
  const stop = leases.onFreed(() => freed++)
  const one = leases.take('a', 1, item(1))
  leases.take('a', 1, item(2))
  t.equal(leases.count('a'), 2)
  t.equal(leases.count('b'), 0)
  one.release()
  one.release()
  t.equal(leases.count('a'), 1)
  t.equal(freed, 1)
  stop()
})

t.test('flight() is a plain snapshot: oldest first, bounded, the newest named', async (t) => {
  const leases = new Leases()
  const first = leases.take('a', 1, item(0))
  for (let i = 1; i < 30; i++) leases.take('a', 1, item(i))
  const before = leases.flight('a')
  first.contentAt(50)
  const after = leases.flight('a')
  t.equal(before.waiting, 30)
  t.equal(before.items[0]?.contentAt, null, 'a snapshot does not change')
  t.equal(after.waiting, 29)
  t.equal(after.items[0]?.contentAt, 50)
  t.equal(after.items.length, 16)
  t.equal(after.newest?.sentAt, 29)
  t.strictSame(structuredClone(after), after)
  t.strictSame(leases.flight('nobody'), { inFlight: 0, waiting: 0, newest: null, items: [] })
})

t.test('progress() is told once per 100 ms and upstream, with the longest gap', async (t) => {
  const leases = new Leases()
  const one = leases.take('a', 1, item(0))
  const other = leases.take('a', 1, item(0))
  const elsewhere = leases.take('b', 1, item(0))
  t.equal(one.progress(1_000, 7), 7)
  t.equal(other.progress(1_050, 90), null)
  t.equal(elsewhere.progress(1_050, 5), 5, 'each upstream for itself')
  t.equal(one.progress(1_099, 20), null)
  t.equal(other.progress(1_100, 30), 90)
  t.equal(other.progress(1_200, 10), 10, 'a gap is told once')
})

t.test('progress() of an upstream that was replaced takes nothing from the new one', async (t) => {
  const leases = new Leases()
  const old = leases.take('a', 1, item(0))
  t.equal(old.progress(1_000, 500), 500)
  const now = leases.take('a', 2, item(0))
  t.equal(old.progress(1_001, 600), null, 'nobody would listen')
  t.equal(now.progress(1_002, 3), 3)
})

function setup() {
  const clock = new VirtualClock()
  const store = new TableStore(tableConfig(), () => clock.nowMs())
  const leases = new Leases()
  return { clock, store, leases, holds: new Holds({ clock, store, leases }) }
}

t.test('wait() ends late when nothing has changed until then', async (t) => {
  const { clock, holds } = setup()
  const { done } = holds.wait(500)
  await clock.advance(499)
  t.equal(clock.pending, 1)
  t.equal(holds.waiting, 1)
  await clock.advance(1)
  t.equal(await done, true)
  t.equal(clock.pending, 0)
  t.equal(holds.waiting, 0)
})

t.test('wait() ends when the table changes visibly, not at every piece of evidence', async (t) => {
  const { clock, store, holds } = setup()
  const { done } = holds.wait(500)
  store.apply({ type: 'tick', at: 0 })
  t.equal(clock.pending, 1)
  store.apply({ type: 'configured', at: 0, config: tableConfig() })
  t.equal(await done, false)
  t.equal(clock.pending, 0)
})

t.test('wait() ends when a lease is released', async (t) => {
  const { leases, holds } = setup()
  const item = { sentAt: 0, bytes: 1, streamed: true, contentAt: null, maxTokens: null }
  const lease = leases.take('a', 1, item)
  const { done } = holds.wait(500)
  lease.release()
  t.equal(await done, false)
})

t.test('wait() can be stopped, and leaves nothing behind', async (t) => {
  const { clock, holds } = setup()
  const all = Array.from({ length: 9 }, () => holds.wait(500))
  for (const { stop } of all) stop()
  t.strictSame(new Set(await Promise.all(all.map(({ done }) => done))), new Set([false]))
  t.equal(clock.pending, 0)
  t.equal(holds.waiting, 0)
})
