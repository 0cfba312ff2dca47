import * as fc from 'fast-check'
import t from 'tap'
import { Gather } from '../../src/core/gather.ts'
import { holds } from '../support/property.ts'

// Rows of docs/bad-input.md that are shown here: body-in-single-bytes.

/** Memory of its own, as Node's HTTP parser gives it. */
const own = (bytes: number, fill = 97): Buffer =>
  Buffer.from(new Uint8Array(bytes).fill(fill).buffer)
/** A window on a larger memory, as undici gives it. */
const windowed = (bytes: number): Buffer => own(65_536).subarray(100, 100 + bytes)

t.test('Gather: what comes out is what went in, however it was cut and asked for', async (t) => {
  const piece = fc.oneof(fc.nat(40), fc.constantFrom(4_000, 4_096, 5_000, 70_000))
  const step = fc.record({
    size: piece,
    own: fc.boolean(),
    next: fc.constantFrom('', '', 'whole', 'take'),
  })
  holds(
    t,
    'pushes, looks and takes',
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const gather = new Gather()
      let expected = Buffer.alloc(0)
      return steps.every(({ size, own: owns, next }, i) => {
        const bytes = owns ? own(size, i) : Buffer.concat([own(9, 1), own(size, i)]).subarray(9)
        gather.push(bytes)
        expected = Buffer.concat([expected, bytes])
        const same =
          next === '' || (next === 'whole' ? gather.whole() : gather.take()).equals(expected)
        if (next === 'take') expected = Buffer.alloc(0)
        return same && gather.length === expected.length
      })
    }),
    300,
  )
})

t.test(
  'Gather: one piece is not copied, nor are large ones before they are asked for',
  async (t) => {
    const gather = new Gather()
    const piece = own(10)
    gather.push(piece)
    t.equal(gather.take(), piece)
    gather.push(own(5_000))
    gather.push(own(5_000))
    t.ok(gather.kept < 11_000)
  },
)

for (const [name, piece] of [
  ['one byte', own(1)],
  ['windows on 64 KiB', windowed(40)],
  ['windows of 5 kB on 64 KiB', windowed(5_000)],
] as const) {
  t.test(`Gather: pieces of ${name} are kept in twice their bytes`, async (t) => {
    const gather = new Gather()
    let worst = 0
    while (gather.length < 1_000_000) {
      gather.push(piece)
      worst = Math.max(worst, gather.kept - 2 * gather.length)
    }
    t.ok(worst <= 66_000, `${worst} bytes beyond`)
  })
}

t.test('Gather: takes memory for each byte three times at most', async (t) => {
  let taken = 0
  const alloc = Buffer.allocUnsafeSlow.bind(Buffer)
  const concat = Buffer.concat.bind(Buffer)
  t.teardown(() => {
    Buffer.allocUnsafeSlow = alloc
    Buffer.concat = concat
  })
  Buffer.allocUnsafeSlow = (bytes) => {
    taken += bytes
    return alloc(bytes)
  }
  Buffer.concat = (...args: Parameters<typeof concat>) => {
    const whole = concat(...args)
    taken += whole.length
    return whole
  }
  const gather = new Gather()
  for (let i = 0; i < 300_000; i++) gather.push(own(1))
  gather.take()
  t.ok(taken >= 300_000 && taken <= 900_000, `${taken} bytes`)
})
