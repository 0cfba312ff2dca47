import t from 'tap'
import { added, cell, markdown, short } from '../../bench/table.ts'

t.test('short keeps three digits', async (t) => {
  t.same([0, 0.123, 1.005, 12.34, 99.96, 123.4, 4_567].map(short), [
    '0',
    '0.12',
    '1.00',
    '12.3',
    '100.0',
    '123',
    '4567',
  ])
})

t.test('cell shows a range only where several rounds were measured', async (t) => {
  t.equal(cell([2, 1, 3]), '2.00 (1.00–3.00)')
  t.equal(cell([2]), '2.00')
  t.equal(cell([null, 2]), '2.00')
  t.equal(cell([]), '–')
  t.equal(cell([null]), '–')
  t.equal(cell([Infinity, Infinity]), 'never')
  t.equal(cell([Infinity, 4]), 'never in 1 of 2')
})

t.test('markdown divides the gate by each yardstick within a round', async (t) => {
  const values = { nginx: [10, 20], 'http-proxy': [40, 40], gengate: [20, 60] }
  const text = markdown([{ title: 'unary', unit: 'µs', values }], Object.keys(values))
  t.same(text.split('\n'), [
    '| measure | nginx | http-proxy | gengate | gengate ÷ nginx | gengate ÷ http-proxy |',
    '| --- | --- | --- | --- | --- | --- |',
    '| unary, µs | 15.0 (10.0–20.0) | 40.0 (40.0–40.0) | 40.0 (20.0–60.0) | **2.50** (2.00–3.00) | **1.00** (0.50–1.50) |',
  ])
})

t.test('markdown compares two gates, leaves out absent yardsticks and quotients', async (t) => {
  const rows = [
    { title: 'a', unit: '', values: { gengate: [2], compared: [3] } },
    { title: 'b', unit: '', isRatio: true, values: { gengate: [1], compared: [1.5] } },
  ]
  t.same(markdown(rows, ['gengate', 'compared']).split('\n').slice(2), [
    '| a | 2.00 | 3.00 | **1.50** |',
    '| b | 1.00 | 1.50 |  |',
  ])
})

t.test('markdown forms no ratio of a gate that takes no part', async (t) => {
  const text = markdown(
    [{ title: 'a', unit: '', values: { nginx: [2], other: [3] } }],
    ['nginx', 'other'],
  )
  t.match(text, /^\| measure \| nginx \| other \| other ÷ nginx \|$/m)
})

t.test('added subtracts the direct way round by round', async (t) => {
  t.same(added({ direct: [10, 20], nginx: [15, 40], gengate: [30, null] }), {
    nginx: [5, 20],
    gengate: [20, null],
  })
})
