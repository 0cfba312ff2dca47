import { PassThrough } from 'node:stream'
import type { IncomingMessage } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { detached, watchUpload } from '../../../src/proxy/request/upload.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'

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

/** A body of the client's, and what the forwarder gets of it while `flushed` says so. */
function body(): {
  readonly client: PassThrough
  readonly got: Buffer[]
  readonly state: { flushed: boolean }
  readonly stream: ReturnType<typeof detached>
} {
  const client = new PassThrough()
  const state = { flushed: true }
  const stream = detached(client as unknown as IncomingMessage, () => state.flushed)
  const got: Buffer[] = []
  stream.on('data', (chunk: Buffer) => got.push(chunk))
  return { client, got, state, stream }
}

/** Chunks as Node's server reads them: with memory of their own. */
const chunk = (text: string): Buffer => Buffer.from(new TextEncoder().encode(text).buffer)

t.test('detached() frees a chunk when the next one comes and the socket is empty', async (t) => {
  const { client, got, state } = body()
  client.write(chunk('one'))
  await turn()
  state.flushed = false
  client.write(chunk('two'))
  await turn()
  t.same(got.map(String), ['one', 'two'], 'the socket still holds the first')
  state.flushed = true
  client.write(chunk('three'))
  await turn()
  t.same(got.map(String), ['', '', 'three'])
})

t.test('detached() keeps what nobody has read, and what shares its memory', async (t) => {
  const { client, got, stream } = body()
  const shared = Buffer.from('shared, of a pool').subarray(0, 6)
  client.write(shared)
  await turn()
  stream.pause()
  for (const text of ['one', 'two']) {
    client.write(chunk(text))
    await turn()
  }
  stream.resume()
  await turn()
  t.same(got.map(String), ['shared', 'one', 'two'])
})
