import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import process from 'node:process'
import t, { type Test } from 'tap'
import type { Clock } from '../../src/runtime/clock.ts'
import { chat, chatBody, readStream } from '../support/ask.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { ask, chat as rawChat, JSON_LINE, RawClient, request } from '../support/raw.ts'
import { chunk, event, type RawUpstream, SSE_END, SSE_HEAD } from '../support/raw-upstream.ts'
import { startGate, leapingClock } from '../support/start-gate.ts'
import { gateOverOne, gateOverRaw, well } from '../support/gates.ts'

// Rows of docs/bad-input.md that are shown here: slow-senders-in-the-room, room-of-running-streams.

// Goal: slow, half-closed and greedy clients get what is theirs and take nothing from others; what
// belongs to one hop stays there.

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
/** A gate over an upstream that answers a chat about `endless` for ever, and others with an event. */
async function endless(t: Test, clock?: Clock) {
  const big = chunk(event('x'.repeat(60_000)))
  const written = { bytes: 0 }
  const { gate, up } = await gateOverRaw(
    t,
    [
      (socket, asked) => {
        if (!asked.includes('endless')) return well('b')(socket, asked)
        socket.write(SSE_HEAD)
        const pour = (): void => {
          do written.bytes += big.length
          while (!socket.destroyed && socket.write(big))
          socket.once('drain', pour)
        }
        return pour()
      },
    ],
    {},
    clock,
  )
  const body = chatBody({ stream: true, messages: [{ role: 'user', content: 'endless' }] })
  /** A reader that does not read. */
  const reader = (): Socket => {
    const socket = connect(gate.port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.on('error', () => {}).pause()
    socket.write(request('POST', '/v1/chat/completions', { lines: [JSON_LINE], body }))
    return socket
  }
  return { gate, up, written, reader }
}

// Fails without: pausing the upstream for a slow client (`controller.pause` in proxy/upstream/attempt.ts).
t.test('F34 readers that do not read: others are served, memory is bounded', async (t) => {
  const READERS = 50
  const { gate, up, written, reader } = await endless(t)
  const readers: Socket[] = []
  // Opens more of them, and waits until nothing more has been written for a while.
  const open = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) readers.push(reader())
    await gate.until(() => up.requests.length === readers.length, 20_000)
    for (let last = -1; last !== written.bytes; await pause(500)) last = written.bytes
  }
  // The first ones pay for the heap and the compiled code of this process.
  await open(20)
  const [before, writtenBefore] = [process.memoryUsage.rss(), written.bytes]
  await open(READERS)
  const eachMb = (process.memoryUsage.rss() - before) / READERS / 2 ** 20
  const writtenMb = (written.bytes - writtenBefore) / READERS / 2 ** 20
  t.comment(`${eachMb.toFixed(2)} MB of memory per reader, ${writtenMb.toFixed(1)} MB written`)
  // Measured: 0.2 to 1.3. Without a bound nothing settles above.
  t.ok(eachMb < 3, 'bounded, upstream and clients of this process included')
  for (let i = 0; i < 5; i++) t.ok((await readStream(await chat(gate, { stream: true }))).done)
  t.equal(gate.reason('a'), 'ok', 'a slow client is no silence of the upstream')
  for (const socket of readers) socket.destroy()
  await gate.until(() => [...up.sockets].length <= 5)
})

// Fails without: STALLED_MS in core/exchange/trying.ts.
t.test('F34 a reader that takes nothing for minutes is cut, and told as such', async (t) => {
  const clock = leapingClock()
  const { gate, up, reader } = await endless(t, clock)
  const socket = reader()
  const busy = (): number => [...up.sockets].filter((one) => one.writableNeedDrain).length
  await gate.until(() => busy() === 1, 20_000)
  // All that the kernel takes on the way to the reader.
  for (let last = -1; last !== socket.bytesRead; await pause(1_000)) last = socket.bytesRead
  clock.leap(200_000)
  await pause(500)
  t.notOk(
    gate.lines.some((line) => line.includes('client_stalled')),
    'slow is not dead',
  )
  clock.leap(101_000)
  await gate.until(() => gate.lines.some((line) => line.includes('client_stalled')), 20_000)
  await gate.until(() => busy() === 0, 20_000)
  t.ok((await readStream(await chat(gate, { stream: true }))).done)
})

const endlessIfDead: RawUpstream['play'] = (socket, asked) =>
  void socket.write(SSE_HEAD + chunk(event('b')) + (asked.includes('dead') ? '' : SSE_END))

// Fails without: DEAD_MS in core/exchange/trying.ts.
t.test('a stream whose connection is dead ends, while its upstream serves others', async (t) => {
  const clock = leapingClock()
  const { gate } = await gateOverRaw(t, [endlessIfDead], {}, clock)
  const content = 'dead'
  const dead = await chat(gate, { stream: true, messages: [{ role: 'user', content }] })
  const read = readStream(dead)
  await pause(500)
  clock.leap(590_000)
  t.ok((await readStream(await chat(gate, { stream: true }))).done)
  await pause(500)
  t.notOk(
    gate.lines.some((line) => line.includes('upstream_stalled')),
    'not yet',
  )
  clock.leap(11_000)
  t.ok((await readStream(await chat(gate, { stream: true }))).done)
  t.match((await read).error, { code: 'upstream_stalled' })
})

// The matrix would answer such a client. But a FIN is also all that is seen of a client that closes
// its socket, and its generation has to stop at once, so that it counts as leaving.
// Fails with `httpAllowHalfOpen` on the server (door/connections.ts).
for (const stream of [true, false]) {
  t.test(`F37 a half-close is a client that leaves (${stream ? 'stream' : 'unary'})`, async (t) => {
    const a = await fakeUpstream(t, { models: ['m'], tokens: 2, ttftMs: 1_000_000 })
    const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}`, GENGATE_A_PROBE: 'off' })
    const socket = connect({ port: gate.port, host: '127.0.0.1', allowHalfOpen: true })
    const body = chatBody({ stream })
    socket.write(request('POST', '/v1/chat/completions', { lines: [JSON_LINE], body }))
    const mine = () => a.generations.find((one) => one.body.includes('"hi"'))
    await gate.until(() => mine() !== undefined)
    socket.on('error', () => {})
    socket.resume()
    const ended = once(socket, 'close')
    socket.end()
    await ended
    await gate.until(() => mine()?.ended !== null)
    t.equal(mine()?.ended?.how, 'cut')
    t.equal(gate.reason('a'), 'ok')
  })
}

// Fails without: giving a body's memory back at the commit (`bodySent` of proxy/upstream/attempt.ts).
t.test('F32 bodies whose streams have begun leave their room to others', async (t) => {
  const { a, gate } = await gateOverOne(t, {}, { GENGATE_BODY_MAX_BYTES: '100000' })
  a.options.tokens = 1_000
  a.options.gapMs = 50
  const large = { stream: true, messages: [{ role: 'user', content: 'x'.repeat(95_000) }] }
  const running = await Promise.all([1, 2, 3, 4].map(() => chat(gate, large)))
  for (const { status, headers } of running) {
    t.equal(status, 200)
    t.equal(headers.get('x-gengate-upstream'), 'a', 'content has come')
  }
  for (let i = 0; i < 3; i++) {
    const next = await chat(gate, { ...large, stream: false, max_tokens: 1 })
    t.equal(next.status, 200)
    await next.arrayBuffer()
  }
  const got = a.generations.filter((one) => one.body.length > 90_000).map((one) => one.body)
  t.ok(got.length === 7 && got.every((body) => body.includes('x'.repeat(95_000))))
  for (const { body } of running) await body?.cancel()
})

// Fails without: the slowest going first (proxy/request/body.ts).
t.test('F32 four slow senders get 408, and who needs the room is served', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  const clock = leapingClock()
  const env = { GENGATE_UPSTREAMS: `a=${a.url}`, GENGATE_BODY_MAX_BYTES: '100000' }
  const gate = await startGate(t, env, clock)
  await gate.untilReason('a', 'ok')
  const slow = [1, 2, 3, 4].map(() => {
    const lines = ['Content-Length: 100000']
    return new RawClient(gate.port).send(rawChat({ bare: true, body: 'x'.repeat(95_000), lines }))
  })
  await new Promise((resolve) => setTimeout(resolve, 200))
  clock.leap(3_000)
  const large = { messages: [{ role: 'user', content: 'x'.repeat(95_000) }] }
  t.equal((await chat(gate, large)).status, 200)
  const first = await Promise.race(slow.map((client) => client.answer({ limitMs: 8_000 })))
  t.equal(first?.status, 408)
  t.equal(slow.filter((client) => client.rest === '' && !client.closed).length, 3)
  for (const client of slow) client.destroy()
})

// Fails without: the bound over all bodies (proxy/request/body.ts), and its `give` in proxy/handler.ts.
t.test('F32 bodies that fill their room together: 503, and room again when they end', async (t) => {
  const { a, gate } = await gateOverOne(t, {}, { GENGATE_BODY_MAX_BYTES: '100000' })
  a.options.ttftMs = 1_500
  const large = { messages: [{ role: 'user', content: 'x'.repeat(95_000) }] }
  const held = [1, 2, 3, 4].map(() => chat(gate, large))
  await gate.until(() => a.generations.filter((one) => one.body.length > 90_000).length === 4)
  const refused = await chat(gate, large)
  t.equal(refused.status, 503)
  t.match(await refused.json(), { error: { code: 'gate_overloaded' } })
  t.match(refused.headers.get('retry-after'), /^\d+$/)
  t.equal((await ask(gate, rawChat(), { limitMs: 8_000 }))?.status, 200, 'a small one fits')
  for (const answer of await Promise.all(held)) t.equal(answer.status, 200)
  a.options.ttftMs = 0
  t.equal((await chat(gate, large)).status, 200, 'there is room again')
})
