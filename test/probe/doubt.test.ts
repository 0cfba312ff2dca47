import t from 'tap'
import { doubtsUs, watchPunctuality } from '../../src/probe/doubt.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

/** A clock whose timers come late, and whose wall can leap. */
class LateClock extends VirtualClock {
  #lateMs = 0
  #leapMs = 0

  override nowMs(): number {
    return super.nowMs() + this.#lateMs
  }

  override wallMs(): number {
    return super.wallMs() + this.#lateMs + this.#leapMs
  }

  stall(ms: number): void {
    this.#lateMs += ms
  }

  sleepMachine(ms: number): void {
    this.#leapMs += ms
  }
}

t.test('watchPunctuality() doubts after a stall or a sleep, and only then', async (t) => {
  const clock = new LateClock()
  const doubts: [string, number][] = []
  const stop = watchPunctuality(clock, (why, lostMs) => doubts.push([why, lostMs]))
  await clock.advance(10_000)
  t.same(doubts, [])
  clock.stall(200)
  await clock.advance(1_000)
  t.same(doubts, [], 'a little late is normal')
  clock.stall(300)
  await clock.advance(1_000)
  t.same(doubts.at(-1), ['stalled', 300])
  clock.sleepMachine(60_000)
  await clock.advance(1_000)
  t.same(doubts.at(-1), ['slept', 60_000], 'while the monotonic clock stood still')
  clock.sleepMachine(-3_600_000)
  await clock.advance(1_000)
  t.equal(doubts.length, 2, 'a wall clock set back is no sleep')
  stop()
  t.equal(clock.pending, 0)
})

t.test('doubtsUs() names our own faults only', async (t) => {
  for (const detail of ['EMFILE', 'ENFILE', 'ENOTFOUND', 'EAI_AGAIN']) {
    t.ok(doubtsUs({ kind: 'inconclusive', detail }))
  }
  t.notOk(doubtsUs({ kind: 'inconclusive', detail: 'ABORTED' }))
  t.notOk(doubtsUs({ kind: 'fail', reason: 'refused', detail: 'EMFILE' }))
})
