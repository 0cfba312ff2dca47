import t from 'tap'
import { backoffMs } from '../../src/core/health/policy.ts'
import { childEnv } from '../../src/core/owned/child-env.ts'
import {
  afterEnd,
  countedAt,
  type History,
  NO_HISTORY,
  RESTARTS_MAX,
  WINDOW_MS,
} from '../../src/process/restarts.ts'

const middle = (): number => 0.5
const crash = (was: History, at: number, servedMs: number | null = null): History =>
  afterEnd(was, { cause: 'exited', at, servedMs }, middle)

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
  return afterEnd(NO_HISTORY, { cause: 'wedged', at: 0, servedMs: null }, () => random).notBefore
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

t.test(
  'afterEnd() counts an engine that was well as the first again, and wanted ends not at all',
  async (t) => {
    const often = crash(crash(crash(NO_HISTORY, 1), 2), 3)
    t.equal(crash(often, 10, 599_999).streak, 4)
    t.equal(crash(often, 10, 600_000).streak, 1)
    for (const cause of ['changed', 'removed', 'idle', 'shutdown'] as const) {
      t.equal(afterEnd(often, { cause, at: 9, servedMs: null }, middle), often, cause)
    }
  },
)

t.test('backoffMs() doubles from the first failure on', async (t) => {
  t.same(
    [0, 1, 2, 3, 9].map((times) => backoffMs(times, { first: 10, max: 100 })),
    [10, 10, 20, 40, 100],
  )
})

t.test('childEnv() keeps the settings of the gate from its children', async (t) => {
  t.same(childEnv({ PATH: '/bin', GENGATE_A_API_KEY: 'sk', gengate_x: 'y', HF_TOKEN: 'hf' }), {
    PATH: '/bin',
    HF_TOKEN: 'hf',
  })
})
