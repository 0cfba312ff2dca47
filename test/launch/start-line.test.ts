// Goal: a printed line does in a shell what the start does. Method: a real sh reads it.
import { execFileSync } from 'node:child_process'
import t from 'tap'
import {
  commandOf,
  printLine,
  shellWord,
  type StartLine,
  unlessSet,
  valueOf,
  withoutSecrets,
} from '../../src/launch/start-line.ts'

const LINE: StartLine = {
  engine: 'vllm_cpu',
  command: '/v/bin/python3',
  args: ['serve', 'a/b', '--port', '8001'],
  env: { OMP_NUM_THREADS: '4' },
  unset: ['VLLM_PORT', 'VLLM_HOST'],
  pathFirst: '/v/bin',
  host: '127.0.0.1',
  port: 8001,
  notes: [],
}

const printed = (line: StartLine) => printLine(line, () => true)

t.test('printLine() tells variables to set and to unset', async (t) => {
  t.equal(
    printLine(LINE, (name) => name === 'VLLM_PORT'),
    'env -u VLLM_PORT PATH=/v/bin:"$PATH" OMP_NUM_THREADS=4 /v/bin/python3 serve a/b --port 8001',
  )
  const bare = { ...LINE, env: {}, unset: [], pathFirst: null }
  t.equal(printed(bare), '/v/bin/python3 serve a/b --port 8001')
  t.match(printed({ ...bare, args: ['--api-key', 'k3y'] }), /--api-key '\(secret\)'$/)
})

t.test('a shell reads shellWord() as the one word that it was', async (t) => {
  const quoted = ["it's", 'a b', '$HOME', '~/x', '`id`', '', '*', 'a\nb', '{"a":"b"}']
  const words = [...quoted, '#x', 'A=b', '-x']
  const printed = execFileSync('sh', ['-c', `printf '%s\\0' ${words.map(shellWord).join(' ')}`])
  t.same(printed.toString().split('\0').slice(0, -1), words)
})

t.test('the printed line sets what a start sets', async (t) => {
  const script = 'echo "$OMP_NUM_THREADS|${VLLM_PORT-none}|${PATH%%:*}|$1"'
  const args = ['-c', script, 'sh', "x 'y'"]
  const line = printLine({ ...LINE, command: '/bin/sh', args }, () => true)
  const env = { PATH: process.env['PATH'] ?? '', VLLM_PORT: '1' }
  t.equal(execFileSync('sh', ['-c', line], { env }).toString(), "4|none|/v/bin|x 'y'\n")
})

t.test('commandOf() sets what is the engine’s, and takes away what misleads it', async (t) => {
  const env = { PATH: '/bin', HF_TOKEN: 'h', VLLM_PORT: '1' }
  const bare = { ...LINE, unset: [], pathFirst: null, env: {} }
  t.strictSame(commandOf({ ...bare, unset: ['VLLM_PORT'], env: { A: 'b' } }, env).env, {
    VLLM_PORT: undefined,
    A: 'b',
  })
  t.strictSame(commandOf({ ...bare, pathFirst: '/v/bin' }, env).env, { PATH: '/v/bin:/bin' })
})

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
  const rows: [words: string, shown: string][] = [
    ['--api-key k --port 1', '--api-key (secret) --port 1'],
    ['--api-key k l -t 1', '--api-key (secret) (secret) -t 1'],
    ['--api-key=k', '--api-key=(secret)'],
    ['--api_key=k', '--api-key=(secret)'],
    ['--hf-token t', '--hf-token (secret)'],
    ['-hft t -m x', '-hft (secret) -m x'],
    ['--max-tokens 4 --temp -1', '--max-tokens 4 --temp -1'],
    ['serve a/b', 'serve a/b'],
  ]
  for (const [words, shown] of rows) t.same(withoutSecrets(words.split(' ')), shown.split(' '))
})
