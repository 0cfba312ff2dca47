import t from 'tap'
import { buildToyModel } from '../../src/embedded/bigram.ts'
import { PROSE } from '../../src/embedded/prose.ts'
import { countBigrams } from '../../src/embedded/words.ts'

t.test('buildToyModel() gives the same bytes for the same text, others for another', async (t) => {
  const first = Buffer.from(buildToyModel(PROSE))
  t.ok(first.equals(buildToyModel(PROSE)))
  t.notOk(first.equals(buildToyModel(`${PROSE}\n\nOne more sentence about the gate.`)))
})

t.test('buildToyModel() stays within 1,024 tokens and about 7 MB for any text', async (t) => {
  const many = Array.from({ length: 2_000 }, (_, i) =>
    i.toString(2).replaceAll('0', 'a').replaceAll('1', 'b'),
  )
  const file = buildToyModel(`${many.join(' ')} end.`)
  t.ok(file.length < 7.2e6, `${file.length} bytes`)
  t.ok(file.length > 5e6, 'the vocabulary is full')
})

t.test('PROSE alone is enough for words to come out', async (t) => {
  t.ok((PROSE.match(/[A-Za-z]+/g) ?? []).length >= 400)
  const { words, starts, follows } = countBigrams(PROSE, 1_000)
  t.ok(words.length > 200)
  t.ok(starts.size > 5)
  t.ok([...follows.values()].filter((row) => row.size > 1).length > 50, 'answers can differ')
})
