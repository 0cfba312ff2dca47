import t from 'tap'
import { fullBudget } from '../../src/core/exchange/ending.ts'
import { type Deed, Drive } from '../../src/proxy/drive.ts'
import { Holds, Leases } from '../../src/proxy/leases.ts'
import { TableStore } from '../../src/state/table-store.ts'
import { failed, wish } from '../support/one-request.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { spec, tableConfig } from '../support/world.ts'

// Goal: what core/exchange decides is done to the books of the gate, once and in order.

function setup(hands: (deed: Deed) => void = () => {}) {
  const clock = new VirtualClock()
  const store = new TableStore(tableConfig(), () => clock.nowMs())
  const leases = new Leases()
  const holds = new Holds({ clock, store, leases })
  const budget = { left: fullBudget(0) }
  const events: string[] = []
  const deeds: string[] = []
  const deps = {
    clock,
    store,
    leases,
    holds,
    budget,
    random: () => 0,
    emit: ({ type }: { type: string }) => void events.push(type),
  }
  const pass = (name: string): void => {
    const epoch = store.current.entries.find((entry) => entry.spec.name === name)?.epoch ?? 0
    const outcome = { kind: 'pass', latencyMs: 9, tokens: 1 } as const
    const evidence = { type: 'probe_ended', at: clock.nowMs(), outcome } as const
    store.apply({ type: 'evidence', name, epoch, evidence })
  }
  const drive = new Drive(deps, wish(), (deed) => {
    deeds.push(deed.type)
    hands(deed)
  })
  return { drive, clock, store, leases, holds, budget, events, deeds, pass }
}

t.test('an attempt holds one lease, which its end gives back', async (t) => {
  const { drive, leases, deeds, budget, store, pass } = setup()
  pass('a')
  pass('b')
  drive.tell({ type: 'decide' })
  t.equal(leases.count('a'), 1)
  drive.attemptEnded(failed('reset'))
  t.strictSame([leases.count('a'), leases.count('b')], [0, 1])
  t.equal(budget.left.tokens, 99)
  t.equal(store.current.entries[0]?.reason, 'live_failure', 'the table has learned of it first')
  drive.attemptEnded({ kind: 'finished' })
  await drive.ended
  t.equal(leases.total, 0)
  t.strictSame(deeds, ['send', 'send', 'end', 'over'])
})

t.test('a request that waits goes on when the table changes', async (t) => {
  const { drive, holds, events, deeds, store, pass, clock } = setup()
  drive.tell({ type: 'decide' })
  t.equal(holds.waiting, 1)
  pass('b')
  await clock.advance(0)
  t.strictSame(deeds, ['send'])
  t.strictSame(events, ['held'])
  t.equal(holds.waiting, 0)
  t.equal(drive.state.upstream, 'b')
  store.apply({ type: 'configured', at: 0, config: tableConfig({ specs: [spec()] }) })
  await clock.advance(0)
  t.strictSame(deeds, ['send'], 'nothing waits any more')
})

t.test('a request that waits too long ends, and so does one whose client goes', async (t) => {
  const late = setup()
  late.drive.tell({ type: 'decide' })
  await late.clock.advance(10_000)
  await late.drive.ended
  t.strictSame(late.deeds, ['answer', 'over'])
  const gone = setup()
  gone.drive.tell({ type: 'decide' })
  gone.drive.tell({ type: 'client_gone' })
  await gone.drive.ended
  t.strictSame([gone.holds.waiting, gone.clock.pending], [0, 0])
})

t.test('a bug of the hands is told, and never thrown at who brings an event', async (t) => {
  const { drive, pass, leases } = setup(() => {
    throw new Error('a bug')
  })
  pass('a')
  t.strictSame(drive.tell({ type: 'decide' }), [])
  await t.rejects(drive.ended, { message: 'a bug' })
  drive.release()
  t.equal(leases.total, 0)
})
