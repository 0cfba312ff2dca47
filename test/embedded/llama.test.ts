import t from 'tap'
import { Slots } from '../../src/embedded/llama.ts'

const never = new AbortController().signal

t.test('Slots gives what is free, then first come first served', async (t) => {
  const slots = new Slots(['a', 'b'], 2)
  t.strictSame(await slots.acquire(never), { item: 'b' })
  t.strictSame(await slots.acquire(never), { item: 'a' })
  const third = slots.acquire(never)
  const fourth = slots.acquire(never)
  t.equal(slots.waiting, 2)
  t.equal(await slots.acquire(never), 'full')
  slots.release('a')
  t.strictSame(await third, { item: 'a' })
  slots.release('b')
  t.strictSame(await fourth, { item: 'b' })
  t.equal(slots.held, 2)
  slots.release('a')
  slots.release('b')
  t.equal(slots.held, 0)
})

t.test('Slots.acquire() leaves the queue when its signal aborts', async (t) => {
  const slots = new Slots(['a'], 2)
  await slots.acquire(never)
  const gone = new AbortController()
  const left = slots.acquire(gone.signal)
  const stays = slots.acquire(never)
  gone.abort()
  t.equal(await left, 'aborted')
  t.equal(slots.waiting, 1)
  slots.release('a')
  t.strictSame(await stays, { item: 'a' }, 'the item goes to the one that still waits')
  t.equal(await slots.acquire(gone.signal), 'aborted')
})
