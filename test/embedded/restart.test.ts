import t from 'tap'
import { afterCrash, type CrashHistory, NO_CRASHES } from '../../src/embedded/restart.ts'

/** The waits after crashes that follow `servedMs` of service each. */
function waits(servedMs: readonly (number | null)[]): (number | null)[] {
  let history: CrashHistory = NO_CRASHES
  return servedMs.map((served) => {
    const verdict = afterCrash(history, served)
    history = verdict.history
    return verdict.waitMs
  })
}

t.test('afterCrash() doubles from half a second up to thirty', async (t) => {
  const crashes = Array<number>(8).fill(1_000)
  t.strictSame(waits(crashes), [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000])
})

t.test('afterCrash() begins again after a minute of service', async (t) => {
  t.strictSame(waits([1, 1, 60_000, 1]), [500, 1_000, 500, 1_000])
})

t.test('afterCrash() gives up when five starts in a row never served', async (t) => {
  t.strictSame(waits([null, null, null, null, null]).slice(3), [4_000, null])
  t.strictSame(waits([null, null, null, null, 5, null]).slice(4), [8_000, 16_000], 'served once')
})
