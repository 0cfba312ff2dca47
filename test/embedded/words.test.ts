import t from 'tap'
import { countBigrams, proseOf } from '../../src/embedded/words.ts'

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
