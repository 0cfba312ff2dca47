import t from 'tap'
import { type StatusAction, statusAction } from '../../src/core/status.ts'

t.test('statusAction says what the table says, for every status', async (t) => {
  const special: Record<number, StatusAction> = {
    408: 'busy',
    429: 'busy',
    501: 'pass',
    503: 'busy',
  }
  const wrong: number[] = []
  for (let status = 200; status < 600; status++) {
    const byClass = status < 300 ? 'judge' : status < 500 ? 'pass' : 'suspect'
    const expected = special[status] ?? byClass
    if (statusAction(status, { mapped: false }) !== expected) wrong.push(status)
    const mapped = status === 404 ? 'misconfigured' : expected
    if (statusAction(status, { mapped: true }) !== mapped) wrong.push(status)
  }
  t.strictSame(wrong, [])
})

t.test('a status that HTTP does not know is a fault of the upstream', async (t) => {
  for (const status of [0, 99, 600, 999]) {
    t.equal(statusAction(status, { mapped: false }), 'suspect', String(status))
  }
})
