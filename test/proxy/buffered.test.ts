import t from 'tap'
import { Buffered } from '../../src/proxy/buffered.ts'
import { Spending } from '../../src/proxy/spending.ts'

t.test('take() bounds all bodies together by four times the limit of one', async (t) => {
  const buffered = new Buffered()
  t.ok(buffered.take(400, 100))
  t.notOk(buffered.take(1, 100))
  buffered.give(400)
  t.ok(buffered.take(1, 100))
})

t.test('spend() and earn() keep one budget for the gate', async (t) => {
  let now = 0
  const spending = new Spending(() => now)
  let spent = 0
  while (spending.spend()) spent++
  t.equal(spent, 100)
  for (let i = 0; i < 11; i++) spending.earn()
  t.ok(spending.spend())
  t.notOk(spending.spend())
  now = 1_000
  t.ok(spending.spend())
})
