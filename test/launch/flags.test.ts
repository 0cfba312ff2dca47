import t from 'tap'
import { unlessSet, valueOf, withoutSecrets } from '../../src/launch/flags.ts'

t.test('valueOf() finds the last value, in any spelling', async (t) => {
  t.equal(valueOf(['--port', '1', '--port=2'], ['--port']), '2')
  t.equal(valueOf(['--max_model_len', '4'], ['--max-model-len']), '4')
  t.equal(valueOf(['-a', 'x'], ['--alias', '-a']), 'x')
  t.equal(valueOf(['--portal', '1'], ['--port']), null)
  t.equal(valueOf(['--port'], ['--port']), '')
})

t.test('unlessSet() leaves out what the operator set, and what has no value', async (t) => {
  const pairs = [
    [['--host'], 'h'],
    [['--alias', '-a'], 'n'],
    [['--dtype'], null],
  ] as const
  t.same(unlessSet(pairs, []), ['--host', 'h', '--alias', 'n'])
  t.same(unlessSet(pairs, ['-a', 'x', '--host=']), [])
})

t.test('withoutSecrets() hides keys and tokens, and nothing else', async (t) => {
  const rows: [words: string[], shown: string[]][] = [
    [
      ['--api-key', 'k', '--port', '1'],
      ['--api-key', '(secret)', '--port', '1'],
    ],
    [
      ['--api-key', 'k', 'l', '-t', '1'],
      ['--api-key', '(secret)', '(secret)', '-t', '1'],
    ],
    [['--api-key=k'], ['--api-key=(secret)']],
    [['--api_key=k'], ['--api-key=(secret)']],
    [
      ['--hf-token', 't'],
      ['--hf-token', '(secret)'],
    ],
    [
      ['-hft', 't', '-m', 'x'],
      ['-hft', '(secret)', '-m', 'x'],
    ],
    [
      ['--max-tokens', '4', '--temp', '-1'],
      ['--max-tokens', '4', '--temp', '-1'],
    ],
    [
      ['serve', 'a/b'],
      ['serve', 'a/b'],
    ],
  ]
  for (const [words, shown] of rows) t.same(withoutSecrets(words), shown)
})
