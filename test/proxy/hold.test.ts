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
const hold = { kind: 'hold', starting: false } as const

t.test('wait() ends with its code when it has lasted too long, counted from arrival', async (t) => {
  const { clock, holds } = setup()
  const { done } = holds.wait(hold, 0, 500)
  await clock.advance(499)
  t.equal(clock.pending, 1)
  await clock.advance(1)
  t.equal(await done, 'no_eligible_upstream')
  t.equal(await holds.wait(hold, 0, 500).done, 'no_eligible_upstream', 'no second hold')
  t.equal(clock.pending, 0)
})

t.test('wait() ends when the table changes visibly, not at every piece of evidence', async (t) => {
  const { clock, store, holds } = setup()
  const { done } = holds.wait(hold, 0, 500)
  store.apply({ type: 'tick', at: 0 })
  t.equal(clock.pending, 1)
  store.apply({ type: 'configured', at: 0, config: tableConfig() })
  t.equal(await done, null)
  t.equal(clock.pending, 0)
})

t.test('wait() for a slot ends when a lease is released', async (t) => {
  const { leases, holds } = setup()
  const item = { sentAt: 0, bytes: 1, streamed: true, contentAt: null, maxTokens: null }
  const lease = leases.take('a', 1, item)
  const { done } = holds.wait({ kind: 'wait_for_slot' }, 0, 0)
  lease.release()
  t.equal(await done, null)
})

t.test('wait() at the start outlasts a short hold', async (t) => {
  const { clock, holds } = setup()
  const { done } = holds.wait({ kind: 'hold', starting: true }, 0, 10)
  await clock.advance(9_999)
  t.equal(clock.pending, 1)
  await clock.advance(1)
  t.equal(await done, 'upstream_starting')
})

t.test('wait() is bounded in number', async (t) => {
  const { clock, holds } = setup()
  const all = Array.from({ length: 1_024 }, () => holds.wait(hold, 0, 500))
  t.equal(await holds.wait(hold, 0, 500).done, 'queue_full')
  for (const { stop } of all) stop()
  await Promise.all(all.map(({ done }) => done))
  t.equal(clock.pending, 0)
})
