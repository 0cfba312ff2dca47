import t from 'tap'
import { limitOf, startOf } from '../../../src/core/exchange/hold.ts'
import { World } from '../../support/world.ts'

t.test('limitOf() bounds each kind of wait', async (t) => {
  for (const [why, holdMs, limitMs, code] of [
    [{ kind: 'hold', starting: false }, 500, 500, 'no_eligible_upstream'],
    [{ kind: 'hold', starting: true }, 500, 10_000, 'upstream_starting'],
    [{ kind: 'hold', starting: true }, 20_000, 20_000, 'upstream_starting'],
    [{ kind: 'wait_for_slot' }, 500, 60_000, 'queue_timeout'],
    [{ kind: 'start' }, 500, 300_000, 'upstream_starting'],
  ] as const) {
    t.strictSame(limitOf(why, holdMs), { limitMs, code })
  }
})

t.test('startOf() tells once that an engine is wanted', async (t) => {
  const world = new World()
  t.equal(startOf(world.entry('a'), 5), null, 'it is not ours to start')
  world.tell('a', { type: 'process', at: 0, phase: 'asleep' })
  t.strictSame(startOf(world.entry('a'), 5), [{ type: 'wanted', at: 5 }])
  world.tell('a', { type: 'wanted', at: 5 })
  t.strictSame(startOf(world.entry('a'), 6), [])
})
