import { PassThrough } from 'node:stream'
import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { readBody } from '../../src/proxy/body.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

/** As much of a request as `readBody` looks at. */
function request(
  headers: Record<string, string> = {},
): PassThrough & { headers: Record<string, string> } {
  return Object.assign(new PassThrough(), { headers })
}
const read = (from: PassThrough, clock: VirtualClock, maxBytes = 10) =>
  readBody(from as unknown as IncomingMessage, { maxBytes, clock, take: () => true })

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
