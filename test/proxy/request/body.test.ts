import { PassThrough } from 'node:stream'
import type { IncomingMessage } from 'node:http'
import t from 'tap'
import type { ErrorCode } from '../../../src/errors/catalogue.ts'
import { readBody } from '../../../src/proxy/request/body.ts'
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
