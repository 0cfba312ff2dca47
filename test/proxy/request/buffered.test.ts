import t from 'tap'
import { Buffered, type HeldBody } from '../../../src/proxy/request/buffered.ts'

// Rows of docs/bad-input.md that are shown here: slow-senders-in-the-room.

/** A room for four bodies of 100 kB, and those who are in it. */
function room() {
  let now = 0
  const buffered = new Buffered(() => now)
  const gone: string[] = []
  const enter = (name: string, from = name) => {
    const held = buffered.begin(from)
    held.evict = (code) => gone.push(`${name} ${code}`)
    const resize = (bytes: number) => buffered.resize(held, bytes, 100_000)
    return { held, resize, give: () => buffered.give(held) }
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
  const resize = (held: HeldBody, bytes: number) => buffered.resize(held, bytes, 1_000_000)
  const forms = [0, 1, 2, 3].map((i) => {
    const held = buffered.begin('a')
    held.evict = () => gone.push(i)
    held.reserved = 1_000_000
    t.equal(resize(held, 64_000), null)
    return held
  })
  // Three come fast, one trickles.
  for (const [i, held] of forms.entries()) resize(held, 64_000 + (i === 2 ? 10 : 200_000))
  now = 2_000
  for (const [i, held] of forms.entries()) resize(held, 64_000 + (i === 2 ? 20 : 400_000))
  t.equal(resize(buffered.begin('b'), 500_000), null)
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
