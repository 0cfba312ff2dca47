import t from 'tap'
import { isEstablished, isReportDue } from '../../../src/core/exchange/progress.ts'

t.test('isEstablished() wants a stream that delivers, by time or by number', async (t) => {
  t.equal(isEstablished(499, 3), false)
  t.equal(isEstablished(500, 1), true)
  t.equal(isEstablished(0, 4), true)
})

t.test('isReportDue() leaves the table in peace', async (t) => {
  t.equal(isReportDue(99), false)
  t.equal(isReportDue(100), true)
})
