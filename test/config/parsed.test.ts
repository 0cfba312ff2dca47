import t from 'tap'
import { bad, entriesOf, good, quoted } from '../../src/config/parsed.ts'

t.test('good() and bad() are the two endings of a parse', async (t) => {
  t.same(good(1), { ok: true, value: 1 })
  t.same(bad('a', 'b'), { ok: false, messages: ['a', 'b'] })
})

t.test('quoted() cannot flood or colour a terminal', async (t) => {
  t.equal(quoted('a\u001b[31m'), '"a\uFFFD[31m"')
  t.equal(quoted('x'.repeat(1000)).length, 62)
})

t.test('entriesOf() trims and drops what is empty', async (t) => {
  t.same(entriesOf(' a ,, b,', ','), ['a', 'b'])
  t.same(entriesOf('', ','), [])
})
