import t from 'tap'
import { commandOf } from '../../src/cli/run-healed.ts'

t.test('commandOf() gives the engine the environment that gengate run gives it', async (t) => {
  const line = {
    engine: 'vllm_cpu',
    command: '/venv/bin/python3',
    args: ['-m', 'vllm'],
    env: { OMP_NUM_THREADS: '4' },
    unset: ['VLLM_PORT'],
    pathFirst: '/venv/bin',
    host: '127.0.0.1',
    port: 8001,
    notes: [],
  } as const
  const own = { PATH: '/usr/bin', VLLM_PORT: '8001' }
  const { command, args, env } = commandOf(line, own)
  t.same([command, args], ['/venv/bin/python3', ['-m', 'vllm']])
  t.strictSame(
    { ...own, ...env },
    {
      PATH: '/venv/bin:/usr/bin',
      VLLM_PORT: undefined,
      OMP_NUM_THREADS: '4',
    },
  )
  t.notOk('PATH' in commandOf({ ...line, pathFirst: null }, own).env, 'else it is inherited')
})
