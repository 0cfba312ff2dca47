import t from 'tap'
import type { ProxyDeps } from '../../src/proxy/deps.ts'
import { Leases } from '../../src/proxy/leases.ts'
import { Watch } from '../../src/proxy/exchange.ts'
import { TableStore } from '../../src/state/table-store.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { tableConfig } from '../support/world.ts'

t.test(
  'the watch tells what is in flight while anything is, and nothing costs nothing',
  async (t) => {
    const clock = new VirtualClock()
    const store = new TableStore(tableConfig(), () => clock.nowMs())
    const leases = new Leases()
    const watch = new Watch({ clock, store, leases } as unknown as ProxyDeps)
    t.equal(clock.pending, 0)
    let ticks = 0
    const exchange = { tick: () => ticks++ }
    const { epoch } = store.current.entries[0] ?? { epoch: 0 }
    const lease = leases.take('a', epoch, {
      sentAt: 0,
      bytes: 1,
      streamed: true,
      contentAt: null,
      maxTokens: null,
    })
    watch.add(exchange)
    await clock.advance(1_000)
    t.equal(ticks, 5)
    t.equal(store.current.entries[0]?.facts.flight.waiting, 1)
    t.equal(store.current.activeAt, 1_000, 'what is in flight keeps clients active')
    lease.release()
    watch.remove(exchange)
    t.equal(store.current.entries[0]?.facts.flight.inFlight, 0, 'told at once')
    t.equal(clock.pending, 0)
  },
)
