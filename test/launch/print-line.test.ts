// Goal: a printed line does in a shell what the start does. Method: a real sh reads it.
import { execFileSync } from 'node:child_process'
import t from 'tap'
import { printLine, shellWord } from '../../src/launch/print-line.ts'
import type { StartLine } from '../../src/launch/start-line.ts'

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

t.test('printLine() tells variables to set and to unset', async (t) => {
  t.equal(
    printLine(LINE, (name) => name === 'VLLM_PORT'),
    'env -u VLLM_PORT PATH=/v/bin:"$PATH" OMP_NUM_THREADS=4 /v/bin/python3 serve a/b --port 8001',
  )
  const bare = { ...LINE, env: {}, unset: [], pathFirst: null }
  t.equal(
    printLine(bare, () => true),
    '/v/bin/python3 serve a/b --port 8001',
  )
  t.match(
    printLine({ ...bare, args: ['--api-key', 'k3y'] }, () => true),
    /--api-key '\(secret\)'$/,
  )
})

t.test('a shell reads shellWord() as the one word that it was', async (t) => {
  const words = [
    "it's",
    'a b',
    '$HOME',
    '~/x',
    '`id`',
    '',
    '*',
    'a\nb',
    '{"a":"b"}',
    '#x',
    'A=b',
    '-x',
  ]
  const printed = execFileSync('sh', ['-c', `printf '%s\\0' ${words.map(shellWord).join(' ')}`])
  t.same(printed.toString().split('\0').slice(0, -1), words)
})

t.test('the printed line sets what a start sets', async (t) => {
  const line = printLine(
    {
      ...LINE,
      command: '/bin/sh',
      args: ['-c', 'echo "$OMP_NUM_THREADS|${VLLM_PORT-none}|${PATH%%:*}|$1"', 'sh', "x 'y'"],
    },
    () => true,
  )
  const env = { PATH: process.env['PATH'] ?? '', VLLM_PORT: '1' }
  t.equal(execFileSync('sh', ['-c', line], { env }).toString(), "4|none|/v/bin|x 'y'\n")
})
