import t from 'tap'
import { PassThrough } from 'node:stream'
import type { IncomingMessage } from 'node:http'
import type { ErrorCode } from '../../../src/errors/catalogue.ts'
import { type BodyLimits, Buffered, readBody } from '../../../src/proxy/request/body.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'

// Rows of docs/bad-input.md that are shown here: body-in-single-bytes, trickled-body,
// slow-senders-in-the-room.

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
  const held: BodyLimits['held'] = { evict: null, reserved: 0, resize }
  const done = readBody(from as unknown as IncomingMessage, { maxBytes, clock, held })
  return Object.assign(done, { held })
}

t.test('readBody() gathers the chunks', async (t) => {
  const clock = new VirtualClock()
  const from = request()
  const done = read(from, clock)
  from.write('ab')
  from.end('cd')
  t.match(await done, { whole: true, bytes: Buffer.from('abcd') })
  t.equal(clock.pending, 0)
})

t.test(
  'readBody() refuses a declared length before reading, and an undeclared one while',
  async (t) => {
    const clock = new VirtualClock()
    t.strictSame(await read(request({ 'content-length': '11' }), clock), {
      code: 'request_too_large',
      close: true,
    })
    const from = request()
    const done = read(from, clock)
    from.write('x'.repeat(11))
    t.strictSame(await done, { code: 'request_too_large', close: true })
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
  t.strictSame(await done, { code: 'request_timeout', close: true })
})

t.test('readBody() ends when the client leaves', async (t) => {
  const clock = new VirtualClock()
  const from = request()
  const done = read(from, clock)
  from.destroy()
  t.strictSame(await done, null)
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
  t.equal(body && 'bytes' in body && body.bytes.toString().slice(0, 14), 'abcdefgabcdefg')
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
    t.equal(body && 'code' in body ? body.code : null, code, `${perSecond} bytes a second`)
  }
})

t.test('readBody() ends when others need the room', async (t) => {
  const clock = new VirtualClock()
  const from = request()
  const done = read(from, clock)
  from.write('ab')
  await clock.advance(1)
  done.held.evict?.('gate_overloaded')
  t.strictSame(await done, { code: 'gate_overloaded', close: true })
  t.equal(done.held.evict, null)
  t.equal(clock.pending, 0)
  const full = request()
  const refused = read(full, clock, 10, () => 'request_timeout')
  full.write('a')
  t.strictSame(await refused, { code: 'request_timeout', close: true })
})

/** A room for four bodies of 100 kB, and those who are in it. */
function room() {
  let now = 0
  const buffered = new Buffered(() => now)
  const gone: string[] = []
  const enter = (name: string, from = name) => {
    const held = buffered.begin(from, 100_000)
    held.evict = (code) => gone.push(`${name} ${code}`)
    return { held, resize: held.resize, give: () => buffered.give(held) }
  }
  return { enter, gone, pass: (ms: number) => (now += ms) }
}

t.test('a body that is whole keeps its room, and a newcomer is refused', async (t) => {
  const { enter, gone } = room()
  const whole = [1, 2, 3, 4].map((i) => enter(`a${i}`, 'a'))
  for (const one of whole) {
    t.equal(one.resize(100_000), null)
    one.held.evict = null
  }
  const next = enter('b')
  t.equal(next.resize(1), 'gate_overloaded')
  whole[0]?.give()
  whole[0]?.give()
  t.equal(next.resize(100_000), null, 'given once, however often it is said')
  next.held.evict = null
  t.equal(enter('c').resize(1), 'gate_overloaded')
  t.strictSame(gone, [])
})

t.test('four slow senders do not lock others out: the slowest has to go', async (t) => {
  const { enter, gone, pass } = room()
  const slow = [1, 2, 3, 4].map((i) => enter(`slow${i}`, 'a'))
  // Fast at first, and then a trickle.
  for (const one of slow) t.equal(one.resize(90_000), null)
  pass(2_000)
  for (const [i, one] of slow.entries()) one.resize(90_001 + i)
  pass(1_000)
  for (const [i, one] of slow.entries()) one.resize(90_040 - 10 * i)
  pass(1_000)
  t.equal(enter('next').resize(50_000), null)
  t.strictSame(gone, ['slow4 request_timeout'])
  t.equal(slow[0]?.resize(100_000), null)
  t.equal(slow[1]?.resize(100_000), null)
  t.equal(slow[2]?.resize(100_000), null, 'the others go on')
  t.strictSame(gone, ['slow4 request_timeout'])
})

t.test('a form for which all of its room is kept is slow only if it comes slowly', async (t) => {
  let now = 0
  const gone: number[] = []
  const buffered = new Buffered(() => now)
  const forms = [0, 1, 2, 3].map((i) => {
    const held = buffered.begin('a', 1_000_000)
    held.evict = () => gone.push(i)
    held.reserved = 1_000_000
    t.equal(held.resize(64_000), null)
    return held
  })
  // Three come fast, one trickles.
  for (const [i, held] of forms.entries()) held.resize(64_000 + (i === 2 ? 10 : 200_000))
  now = 2_000
  for (const [i, held] of forms.entries()) held.resize(64_000 + (i === 2 ? 20 : 400_000))
  t.equal(buffered.begin('b', 1_000_000).resize(500_000), null)
  t.strictSame(gone, [2], 'who trickles has to go, and not the first')
})

t.test('who is slow itself when there is no room is told so', async (t) => {
  const { enter, pass } = room()
  for (const name of ['a', 'b', 'c']) {
    const one = enter(name)
    one.resize(100_000)
    one.held.evict = null
  }
  const slow = enter('slow')
  t.equal(slow.resize(99_000), null)
  pass(2_000)
  t.equal(slow.resize(100_001), 'request_timeout')
})

t.test('of those who are fast the largest of the address with most has to go', async (t) => {
  const { enter, gone } = room()
  for (const [name, from, bytes] of [
    ['a1', 'a', 100_000],
    ['a2', 'a', 90_000],
    ['a3', 'a', 95_000],
    ['b1', 'b', 99_000],
  ] as const) {
    t.equal(enter(name, from).resize(bytes), null)
  }
  t.equal(enter('a4', 'a').resize(20_000), null)
  t.strictSame(gone, ['a1 gate_overloaded'])
  const b2 = enter('b2', 'b')
  t.equal(b2.resize(96_000), null)
  t.equal(b2.resize(99_000), null)
  t.strictSame(gone, ['a1 gate_overloaded', 'a3 gate_overloaded'])
})
