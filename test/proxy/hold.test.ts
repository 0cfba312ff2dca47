import t from 'tap'
import { Holds } from '../../src/proxy/hold.ts'
import { Leases } from '../../src/proxy/leases.ts'
import { TableStore } from '../../src/state/table-store.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { tableConfig } from '../support/world.ts'

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
