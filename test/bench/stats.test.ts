import t from 'tap'
import { percentile, ratios, summarize } from '../../bench/stats.ts'

t.test('summarize gives median and range, whatever the order', async (t) => {
  t.same(summarize([3, 1, 10]), { median: 3, min: 1, max: 10, count: 3 })
  t.same(summarize([4, 2]), { median: 3, min: 2, max: 4, count: 2 })
})

t.test('summarize leaves out what is no number, and knows when nothing is left', async (t) => {
  t.same(summarize([Number.NaN, 5, Infinity]), { median: 5, min: 5, max: 5, count: 1 })
  t.equal(summarize([]), null)
  t.equal(summarize([Number.NaN]), null)
})

t.test('percentile lies between neighbours in proportion', async (t) => {
  t.equal(percentile([10, 20, 30, 40, 50], 0), 10)
  t.equal(percentile([10, 20, 30, 40, 50], 1), 50)
  t.equal(percentile([10, 20], 0.25), 12.5)
  t.equal(percentile([7], 0.99), 7)
  t.ok(Number.isNaN(percentile([], 0.5)))
})

t.test('ratios are formed within a round, where both were measured', async (t) => {
  t.same(ratios([10, 20, 30], [5, 10, 10]), [2, 2, 3])
  t.same(ratios([10, null, 30, 40], [5, 10, null]), [2])
  t.same(ratios([10], [0]), [])
  t.same(ratios([10, Infinity], [Infinity, 10]), [], 'what never happened has no ratio')
})
