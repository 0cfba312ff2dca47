// Goal: `gengate run` as operators use it: what it starts, what it says, how it ends.
// Method: the launcher and the real program as processes; the engines are scripts on PATH.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { freePort, isAlive } from '../support/owned.ts'
import { fakeEngines, insist, ready, startRun } from './fake-engines.ts'
import { answers, launcher, systemNode } from './process.ts'

type Env = Record<string, string>

/** Runs `gengate run …` to its end. */
function run(args: readonly string[], env: Env, settings = '') {
  const cwd = env['HOME'] ?? ''
  writeFileSync(join(cwd, '.env'), settings)
  const options = { encoding: 'utf8', env, cwd } as const
  const { status, stdout, stderr } = spawnSync(systemNode, [launcher, 'run', ...args], options)
  return { code: status, out: stdout, err: stderr }
}

/** The arguments and variables that the fake engine told. */
function told(text: string): { args: string[]; env: Env } {
  const [, args = 'null'] = /^args (.*)$/m.exec(text) ?? []
  const [, env = 'null'] = /^env (.*)$/m.exec(text) ?? []
  return { args: JSON.parse(args) as string[], env: JSON.parse(env) as Env }
}

t.test('--dry-run prints a line that a shell can run, and no secret', async (t) => {
  const { env } = fakeEngines(t)
  const secrets = { GENGATE_API_KEYS: 'gate-key', GENGATE_VLLM_CPU_API_KEY: 'cpu-key' }
  const all: Env = { ...env, ...secrets, VLLM_PORT: '9001', FAKE_FAILS: 'x' }
  const dry = run(['vllm_cpu', '--dry-run', '--', '--api-key', 's3cret', '--seed', '1'], all)
  t.equal(dry.code, 0, dry.err)
  t.notMatch(dry.out + dry.err, /s3cret|gate-key|cpu-key/)
  t.equal(dry.out.trim().split('\n').length, 1)
  const shell = spawnSync('sh', ['-c', dry.out], { encoding: 'utf8', env: all })
  t.equal(shell.status, 3, 'the fake ran')
  const { args, env: seen } = told(shell.stdout)
  t.same(args, [
    'serve',
    'Qwen/Qwen2.5-3B-Instruct',
    '--host',
    '127.0.0.1',
    '--port',
    '9001',
    '--max-model-len',
    '1024',
    '--api-key',
    '(secret)',
    '--seed',
    '1',
  ])
  t.match(seen, { VLLM_CPU_KVCACHE_SPACE: '1', OMP_NUM_THREADS: '4' })
  t.notOk('VLLM_PORT' in seen)
  const json = run(['ollama', '--json'], env)
  t.match(JSON.parse(json.out), { engine: 'ollama', args: ['serve'], port: 11_434 })
  t.match(json.err, /ignores max_completion_tokens/)
})

t.test('vllm_metal needs both packages in its environment, else 2', async (t) => {
  const { env, venv } = fakeEngines(t)
  const port = String(await freePort())
  venv('.venv-vllm-metal', `printf '\\nvllm_metal\\tModuleNotFoundError: none\\n'`)
  const missing = run(['vllm_metal'], { ...env, VLLM_PORT: port })
  t.same([missing.code, missing.out], [2, ''])
  t.match(missing.err, /vllm_metal cannot be imported by .*[^]*Install vllm-metal again: curl /)
  const VLLM_VENV = venv('whole', `printf '\\nok\\n'`)
  const whole = { ...env, VLLM_PORT: port, VLLM_VENV, FAKE_FAILS: 'x' }
  const { code, out } = run(['vllm_metal'], whole)
  t.equal(code, 3, 'it was started')
  const { args, env: seen } = told(out)
  t.same(args.slice(0, 3), ['-m', 'vllm.entrypoints.cli.main', 'serve'])
  t.match(args.join(' '), /--dtype float16/)
  t.match(seen, { VIRTUAL_ENV: VLLM_VENV, PATH: `${VLLM_VENV}/bin:${env['PATH']}` })
})

t.test('a taken port ends with 1, says by whom, and nobody is killed', async (t) => {
  const { env } = fakeEngines(t)
  const holder = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve))
  const address = holder.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const { child, out, err, ended } = startRun(t, ['vllm_cpu'], {
    ...env,
    VLLM_PORT: String(address.port),
  })
  t.same(await ended, [1, null], err.text)
  t.match(err.text, new RegExp(`port ${address.port} on 127\\.0\\.0\\.1 is taken by`))
  if (process.platform === 'linux') t.match(err.text, `pid ${process.pid}`)
  t.match(err.text, `VLLM_PORT=${address.port + 10} gengate run vllm_cpu`)
  t.equal(out.text, '', 'nothing was started')
  t.ok(child.exitCode === 1 && (await answers(address.port)), 'and it still listens')
  await new Promise((resolve) => holder.close(resolve))
})

t.test('an engine that fails: its output, its code, and one line of advice', async (t) => {
  const { env } = fakeEngines(t)
  const VLLM_PORT = String(await freePort())
  const FAKE_FAILS = "ModuleNotFoundError: No module named 'torch'"
  const failed = run(['vllm_cpu'], { ...env, VLLM_PORT, FAKE_FAILS, GENGATE_API_KEYS: 'k' })
  t.equal(failed.code, 3)
  t.match(failed.err, FAKE_FAILS)
  t.match(failed.err, /vllm_cpu ended by itself \(code 3\)\.\nHint: the Python package torch /)
  const { env: seen } = told(failed.out)
  t.notOk(Object.keys(seen).some((name) => name.startsWith('GENGATE_') || name === 'VLLM_PORT'))
  t.match(run(['vllm_cpu'], { ...env, VLLM_PORT, FAKE_FAILS: 'odd' }).err, /\(code 3\)\.\n$/)
})

t.test('SIGTERM reaches the engine, its workers end, its code is ours', async (t) => {
  const { env } = fakeEngines(t)
  const GENGATE_OLLAMA_URL = `http://127.0.0.1:${await freePort()}`
  const running = startRun(t, ['ollama'], { ...env, GENGATE_OLLAMA_URL })
  const worker = await ready(running)
  t.ok(isAlive(worker))
  running.child.kill('SIGTERM')
  t.same(await running.ended, [0, null], running.err.text)
  t.match(running.out.text, /^got SIGTERM$/m)
  t.notOk(isAlive(worker))
  t.notMatch(running.err.text, /Hint|by itself/)
})

t.test('one Ctrl-C, as a terminal sends it, is passed on once', async (t) => {
  const { env, home } = fakeEngines(t)
  const GENGATE_LLAMACPP_URL = `http://127.0.0.1:${await freePort()}`
  const GENGATE_LLAMACPP_GGUF = join(home, 'model.gguf')
  const all = { ...env, GENGATE_LLAMACPP_URL, GENGATE_LLAMACPP_GGUF }
  const running = startRun(t, ['llamacpp', '--', '-t', '1'], all)
  const worker = await ready(running)
  t.match(told(running.out.text).args, ['-m', GENGATE_LLAMACPP_GGUF, '--alias', 'model'])
  if (running.child.pid === undefined) throw new Error('not started')
  process.kill(-running.child.pid, 'SIGINT')
  t.same(await running.ended, [6, null], 'the code that the engine gave')
  t.equal(running.out.text.match(/^got SIGINT$/gm)?.length, 1)
  t.notOk(isAlive(worker))
})

t.test('a second signal kills an engine that does not end', async (t) => {
  const { env } = fakeEngines(t)
  const GENGATE_OLLAMA_URL = `http://127.0.0.1:${await freePort()}`
  const all = { ...env, GENGATE_OLLAMA_URL, FAKE_STUBBORN: '1' }
  const running = startRun(t, ['ollama'], all)
  const worker = await ready(running)
  t.same(await insist(running, 'SIGTERM'), [143, null])
  t.match(running.err.text, /passed on to ollama; send it again to kill the engine/)
  t.notOk(isAlive(worker))
})
