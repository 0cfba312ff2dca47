import { PassThrough } from 'node:stream'
import type { IncomingMessage } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { ErrorCode } from '../../../src/errors/catalogue.ts'
import { detached, readBody, watchUpload } from '../../../src/proxy/request/body.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'

// Rows of docs/bad-input.md that are shown here: body-in-single-bytes, trickled-body.

/** As much of a request as `readBody` looks at. */
function request(
  headers: Record<string, string> = {},
): PassThrough & { headers: Record<string, string> } {
  return Object.assign(new PassThrough(), { headers })
}
const read = (
  from: PassThrough,
  clock: VirtualClock,
  maxBytes = 10,
  resize: (bytes: number) => ErrorCode | null = () => null,
) => {
  const held: { evict: ((code: ErrorCode) => void) | null } = { evict: null }
  const done = readBody(from as unknown as IncomingMessage, { maxBytes, clock, resize, held })
  return Object.assign(done, { held })
}

t.test('readBody() gathers the chunks', async (t) => {
  const clock = new VirtualClock()
  const from = request()
  const done = read(from, clock)
  from.write('ab')
  from.end('cd')
  t.match(await done, { ok: true, bytes: Buffer.from('abcd') })
  t.equal(clock.pending, 0)
})

t.test(
  'readBody() refuses a declared length before reading, and an undeclared one while',
  async (t) => {
    const clock = new VirtualClock()
    t.strictSame(await read(request({ 'content-length': '11' }), clock), {
      ok: false,
      code: 'request_too_large',
    })
    const from = request()
    const done = read(from, clock)
    from.write('x'.repeat(11))
    t.strictSame(await done, { ok: false, code: 'request_too_large' })
    t.equal(clock.pending, 0)
  },
)

t.test('readBody() gives up a body that stops arriving', async (t) => {
  const clock = new VirtualClock()
  const from = request()
  const done = read(from, clock)
  await clock.advance(9_000)
  from.write('ab')
  await clock.advance(9_999)
  t.equal(clock.pending, 1)
  await clock.advance(1)
  t.strictSame(await done, { ok: false, code: 'request_timeout' })
})

t.test('readBody() ends when the client leaves', async (t) => {
  const clock = new VirtualClock()
  const from = request()
  const done = read(from, clock)
  from.destroy()
  t.strictSame(await done, { ok: false, code: null })
  t.equal(clock.pending, 0)
})

t.test('readBody() keeps a body in pieces of one byte in twice its size', async (t) => {
  const clock = new VirtualClock()
  const from = request()
  let kept = 0
  const done = read(from, clock, 1_000_000, (bytes) => {
    kept = Math.max(kept, bytes)
    return null
  })
  // As Node's parser makes them: each with memory of its own.
  for (let i = 0; i < 100_000; i++) from.write(Buffer.from(new Uint8Array([97 + (i % 7)]).buffer))
  from.end()
  const body = await done
  t.match(body, { ok: true })
  if (body.ok) t.equal(body.bytes.toString().slice(0, 14), 'abcdefgabcdefg')
  t.ok(kept < 100_000 * 2 + 70_000, `${kept} bytes were kept`)
})

t.test('readBody() wants 16 kB a second after ten seconds', async (t) => {
  for (const [perSecond, code] of [
    [16_100, null],
    [15_000, 'request_timeout'],
  ] as const) {
    const clock = new VirtualClock()
    const from = request()
    const done = read(from, clock, 10_000_000)
    for (let i = 0; i < 300 && done.held.evict !== null; i++) {
      // Slowly from the beginning, but for what the first ten seconds allow.
      if (i >= 9) from.write(Buffer.alloc(perSecond))
      else from.write('x')
      await clock.advance(1_000)
    }
    from.end()
    const body = await done
    t.equal(body.ok ? null : body.code, code, `${perSecond} bytes a second`)
  }
})

t.test('readBody() ends when others need the room', async (t) => {
  const clock = new VirtualClock()
  const from = request()
  const done = read(from, clock)
  from.write('ab')
  await clock.advance(1)
  done.held.evict?.('gate_overloaded')
  t.strictSame(await done, { ok: false, code: 'gate_overloaded' })
  t.equal(done.held.evict, null)
  t.equal(clock.pending, 0)
  const full = request()
  const refused = read(full, clock, 10, () => 'request_timeout')
  full.write('a')
  t.strictSame(await refused, { ok: false, code: 'request_timeout' })
})

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
