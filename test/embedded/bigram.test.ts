import t from 'tap'
import { buildToyModel, countBigrams, proseOf } from '../../src/embedded/bigram.ts'
import { PROSE } from '../../src/embedded/toy.ts'

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

t.test('proseOf() keeps sentences and drops code, tables, headings and addresses', async (t) => {
  const markdown = `# A heading that is long enough to be a sentence.

The gate asks \`gengate probe\` every server. See [the docs](https://example.org/x) or
https://example.org/y for more words.

| a table | that is. long enough to count |

\`\`\`sh
curl the code that is long enough to count.
\`\`\`
`
  t.same(proseOf(markdown), [
    [
      ['The', 'gate', 'asks', 'every', 'server', '.'],
      ['See', 'the', 'docs', 'or', 'for', 'more', 'words', '.'],
    ],
  ])
})

t.test('countBigrams() counts pairs, starts and ends, most frequent words first', async (t) => {
  const { words, starts, follows, ends } = countBigrams('The gate is a gate. The gate waits.', 9)
  t.same(words, ['gate', '.', 'The', 'a', 'is', 'waits'])
  const named = (counts: ReadonlyMap<number, number> | undefined): object =>
    Object.fromEntries([...(counts ?? [])].map(([index, times]) => [words[index], times]))
  t.same(named(starts), { The: 2 })
  t.same(named(follows.get(0)), { is: 1, '.': 1, waits: 1 })
  t.same(named(follows.get(1)), { The: 1 })
  t.same(named(ends), { '.': 1 })
})

t.test('countBigrams() leaves rare words out and invents no pair across the hole', async (t) => {
  const text = 'The gate sees rare. The gate sees rare. The gate waits sees.'
  const { words, follows } = countBigrams(text, 3)
  t.same(words, ['.', 'The', 'gate'])
  t.notOk(follows.has(2), 'what follows "gate" is not known')
})
