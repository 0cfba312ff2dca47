import t from 'tap'
import { onStop } from '../../src/cli/command.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { recordedIo } from './recorded-io.ts'

t.test('onStop() hears the first signal, and a second one 500 ms later', async (t) => {
  const clock = new VirtualClock()
  const done: unknown[] = []
  const heard = new Map<string, () => void>()
  onStop(
    ['SIGINT', 'SIGTERM'],
    { io: { ...recordedIo(), clock }, onSignal: (signal, run) => heard.set(signal, run) },
    { first: (signal) => done.push(signal), again: (code) => done.push(code) },
  )
  for (const [signal, waitMs] of [
    ['SIGINT', 4],
    ['SIGINT', 495],
    ['SIGTERM', 1],
    ['SIGTERM', 60_000],
    ['SIGINT', 0],
  ] as const) {
    heard.get(signal)?.()
    await clock.advance(waitMs)
  }
  t.same(done, ['SIGINT', 143, 130], 'one Ctrl-C arrives twice')
})
