// Goal: an engine and all that it starts end together, and its last lines are known.
// Method: real processes; the engine is a shell script or a small Node program.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { envChanges, startEngine } from '../../src/launch/child.ts'
import type { StartLine } from '../../src/launch/start-line.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { lives } from '../bin/fake-engines.ts'
import { until } from '../bin/process.ts'

const BARE: StartLine = {
  engine: 'llamacpp',
  command: '/bin/sh',
  args: [],
  env: {},
  unset: [],
  pathFirst: null,
  host: '127.0.0.1',
  port: 1,
  notes: [],
}

/** Runs a shell script as if it were an engine. */
function start(script: string) {
  const out = { text: '' }
  const stdout = new PassThrough()
  stdout.setEncoding('utf8').on('data', (piece: string) => (out.text += piece))
  const line = { ...BARE, args: ['-c', script] }
  const { env } = process
  const engine = startEngine(line, { env, clock: systemClock, stdout, stderr: stdout })
  return { engine, out }
}

/** The ids that the script has printed, when it is ready. */
async function pidsOf(out: { text: string }): Promise<number[]> {
  await until(() => (out.text.includes('ready') ? true : undefined))
  return [...out.text.matchAll(/pid (\d+)/g)].map(([, pid]) => Number(pid))
}

t.test('startEngine() shows the output, and tells the last lines and the code', async (t) => {
  const { engine, out } = start('echo one; echo two >&2; exit 7')
  const end = await engine.ended
  t.match(end, { code: 7, signal: null, exitCode: 7 })
  t.same(end.lines.toSorted(), ['one', 'two'])
  t.match(out.text, /one\n/)
})

t.test('startEngine() tells a signal as a shell does', async (t) => {
  const { engine } = start('kill -ILL $$')
  t.match(await engine.ended, { code: null, signal: 'SIGILL', exitCode: 132 })
})

t.test('startEngine() without a program ends with 127', async (t) => {
  const sink = new PassThrough()
  const line = { ...BARE, command: '/nowhere/llama-server' }
  const deps = { env: {}, clock: systemClock, stdout: sink, stderr: sink }
  t.match(await startEngine(line, deps).ended, { code: 127, exitCode: 127 })
})

t.test('stop() passes the signal on, and the code of the engine is what counts', async (t) => {
  const { engine, out } = start('trap "exit 9" INT; echo ready; while :; do sleep 0.05; done')
  await pidsOf(out)
  engine.stop('SIGINT')
  t.match(await engine.ended, { code: 9, signal: null })
})

t.test(
  'children that outlive the engine end with it, also those that ignore SIGTERM',
  async (t) => {
    const { engine, out } = start(
      `sleep 600 & echo pid $!
     sh -c 'trap "" TERM; echo pid $$; echo ready; while :; do sleep 1; done' &
     wait`,
    )
    const pids = await pidsOf(out)
    t.equal(pids.length, 2)
    t.ok(pids.every(lives), 'they run')
    engine.stop('SIGTERM')
    await engine.ended
    t.notOk(pids.some(lives), 'and are gone')
  },
)

t.test('children of an engine that crashes end, too', async (t) => {
  const { engine, out } = start('sleep 600 & echo pid $!; echo ready; sleep 0.1; kill -KILL $$')
  const pids = await pidsOf(out)
  t.match(await engine.ended, { signal: 'SIGKILL', exitCode: 137 })
  t.notOk(pids.some(lives))
})

t.test('kill() ends an engine that does not listen', async (t) => {
  const { engine, out } = start('trap "" INT TERM; echo ready; while :; do sleep 0.05; done')
  await pidsOf(out)
  engine.stop('SIGTERM')
  engine.kill()
  t.match(await engine.ended, { signal: 'SIGKILL' })
})

t.test('an engine does not outlive the sudden death of who started it', async (t) => {
  const child = fileURLToPath(new URL('../../src/launch/child.ts', import.meta.url))
  const clock = fileURLToPath(new URL('../../src/runtime/clock.ts', import.meta.url))
  const script = `
    const { startEngine } = await import(${JSON.stringify(child)})
    const { systemClock } = await import(${JSON.stringify(clock)})
    const line = ${JSON.stringify({ ...BARE, args: ['-c', 'sleep 600 & echo pid $$; echo pid $!; echo ready; wait'] })}
    startEngine(line, { env: process.env, clock: systemClock, stdout: process.stdout, stderr: process.stderr })`
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: { PATH: process.env['PATH'] ?? '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gone = once(owner, 'exit')
  const out = { text: '' }
  owner.stdout.setEncoding('utf8').on('data', (piece: string) => (out.text += piece))
  const pids = await pidsOf(out)
  t.equal(pids.length, 2)
  owner.kill('SIGKILL')
  await gone
  await until(() => (pids.some(lives) ? undefined : true))
  t.pass('both are gone')
})

t.test(
  'envChanges() sets what is the engine’s, and takes away what means another thing to it',
  async (t) => {
    const env = { PATH: '/bin', HF_TOKEN: 'h', VLLM_PORT: '1' }
    t.strictSame(envChanges({ ...BARE, unset: ['VLLM_PORT'], env: { A: 'b' } }, env), {
      VLLM_PORT: undefined,
      A: 'b',
    })
    t.strictSame(envChanges({ ...BARE, pathFirst: '/v/bin' }, env), { PATH: '/v/bin:/bin' })
  },
)
