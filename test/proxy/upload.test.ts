import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { watchUpload } from '../../src/proxy/upload.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

/** As much of a request as the watch looks at. */
const upload = () => ({
  complete: false,
  destroyed: false,
  paused: false,
  isPaused(): boolean {
    return this.paused
  },
  socket: { bytesRead: 0 } as { bytesRead: number } | null,
})
const watch = (request: ReturnType<typeof upload>, clock: VirtualClock, done: () => void) =>
  watchUpload(request as unknown as IncomingMessage, clock, done)

t.test('watchUpload() tells once when a client stops sending', async (t) => {
  const clock = new VirtualClock()
  const request = upload()
  let stalled = 0
  watch(request, clock, () => stalled++)
  for (let i = 0; i < 5; i++) {
    request.socket = { bytesRead: i + 1 }
    await clock.advance(10_000)
  }
  t.equal(stalled, 0, 'it still sends')
  await clock.advance(30_000)
  t.equal(stalled, 1)
  t.equal(clock.pending, 0)
})

t.test('watchUpload() does not blame a client that the upstream holds back', async (t) => {
  const clock = new VirtualClock()
  const request = upload()
  request.paused = true
  const stop = watch(request, clock, () => t.fail('it is the upstream'))
  await clock.advance(60_000)
  stop()
  t.equal(clock.pending, 0)
})

t.test('watchUpload() ends with the body, or with its socket', async (t) => {
  for (const change of [{ complete: true }, { destroyed: true }, { socket: null }]) {
    const clock = new VirtualClock()
    const request = Object.assign(upload(), change)
    watch(request, clock, () => t.fail('there is nothing to wait for'))
    await clock.advance(60_000)
    t.equal(clock.pending, 0)
  }
})
