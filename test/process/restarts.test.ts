import t from 'tap'
import { backoffMs } from '../../src/core/health/policy.ts'
import {
  afterEnd,
  countedAt,
  type History,
  NO_HISTORY,
  WINDOW_MS,
} from '../../src/process/restarts.ts'
import { EMBEDDED_RESTARTS } from '../../src/embedded/child.ts'
import { ENGINE_RESTARTS, RESTARTS_MAX } from '../../src/supervisor/book.ts'

const middle = (): number => 0.5
const crash = (was: History, at: number, servedMs: number | null = null): History =>
  afterEnd(was, { at, servedMs }, ENGINE_RESTARTS, middle)

t.test('afterEnd() doubles the wait up to five minutes', async (t) => {
  let history = NO_HISTORY
  const waits: number[] = []
  for (let i = 0; i < 10; i++) {
    const at = i * 600_000
    history = crash(history, at)
    waits.push((history.notBefore - at) / 1_000)
  }
  t.same(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300])
})

function waitAfter(random: number): number {
  return afterEnd(NO_HISTORY, { at: 0, servedMs: null }, ENGINE_RESTARTS, () => random).notBefore
}

t.test('afterEnd() spreads the wait by a fifth', async (t) => {
  t.equal(waitAfter(0), 800)
  t.ok(waitAfter(0.999_999) < 1_200)
  t.ok(waitAfter(0.999_999) > 1_199)
})

t.test('afterEnd() gives up beyond the cap of an hour, and forgets after one', async (t) => {
  let history = NO_HISTORY
  for (let i = 1; i <= RESTARTS_MAX; i++) history = crash(history, i * 1_000)
  t.equal(history.gaveUpAt, null, 'ten are allowed')
  t.equal(crash(history, 20_000).gaveUpAt, 20_000)
  t.equal(crash(history, WINDOW_MS + 2_000).gaveUpAt, null, 'two of them are an hour old')
  t.equal(countedAt(history, WINDOW_MS + 2_000).length, RESTARTS_MAX - 2)
})

t.test('afterEnd() counts a child that was well as the first again', async (t) => {
  const often = crash(crash(crash(NO_HISTORY, 1), 2), 3)
  t.equal(crash(often, 10, 599_999).streak, 4)
  t.equal(crash(often, 10, 600_000).streak, 1)
})

/** The waits of the embedded engine after ends that follow `servedMs` of service each; null: it stays
 *  down. */
function waits(servedMs: readonly (number | null)[]): (number | null)[] {
  let history = NO_HISTORY
  return servedMs.map((served, at) => {
    history = afterEnd(history, { at, servedMs: served }, EMBEDDED_RESTARTS, Math.random)
    return history.gaveUpAt === null ? history.notBefore - at : null
  })
}

t.test('EMBEDDED_RESTARTS: waits double from half a second up to thirty', async (t) => {
  const crashes = Array<number>(8).fill(1_000)
  t.strictSame(waits(crashes), [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000])
})

t.test('EMBEDDED_RESTARTS: a minute of service begins again', async (t) => {
  t.strictSame(waits([1, 1, 60_000, 1]), [500, 1_000, 500, 1_000])
})

t.test('EMBEDDED_RESTARTS: five starts in a row that never served are the last', async (t) => {
  t.strictSame(waits([null, null, null, null, null]).slice(3), [4_000, null])
  t.strictSame(waits([null, null, null, null, 5, null]).slice(4), [8_000, 16_000], 'served once')
})

t.test('backoffMs() doubles from the first failure on', async (t) => {
  t.same(
    [0, 1, 2, 3, 9].map((times) => backoffMs(times, { first: 10, max: 100 })),
    [10, 10, 20, 40, 100],
  )
})
