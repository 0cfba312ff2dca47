// Goal: a child and all that it starts end together, and its last lines are known.
// Method: real processes; the child is a shell script or a small Node program.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { childEnv, startChild } from '../../src/process/child.ts'
import { type Clock, systemClock } from '../../src/runtime/clock.ts'
import { isAlive } from '../support/owned.ts'
import { until } from '../bin/process.ts'

/** Runs a shell script as a child. */
function start(script: string) {
  const out = { text: '' }
  const stdout = new PassThrough()
  stdout.setEncoding('utf8').on('data', (piece: string) => (out.text += piece))
  const command = { command: '/bin/sh', args: ['-c', script], env: {} }
  const child = startChild(command, {
    env: process.env,
    clock: systemClock,
    output: { stdout, stderr: stdout },
    graceMs: 20_000,
    stragglersMs: 500,
  })
  return { child, out }
}

/** The shell that guards the group `pid`; null: there is none. */
function guardOf(pid: number | null | undefined): number | null {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=', '-o', 'args='], { encoding: 'utf8' })
  const [, guard] = new RegExp(`^ *(\\d+) .*gengate-guard ${pid}$`, 'm').exec(rows) ?? []
  return guard === undefined ? null : Number(guard)
}

/** The ids that the script has printed, when it is ready. */
async function pidsOf(out: { text: string }): Promise<number[]> {
  await until(() => (out.text.includes('ready') ? true : undefined))
  return [...out.text.matchAll(/pid (\d+)/g)].map(([, pid]) => Number(pid))
}

t.test('startChild() shows the output, and tells the last lines and the code', async (t) => {
  const { child, out } = start('echo one; echo two >&2; exit 7')
  const end = await child.ended
  t.match(end, { code: 7, signal: null, exitCode: 7 })
  t.same(end.lines.toSorted(), ['one', 'two'])
  t.match(out.text, /one\n/)
})

t.test('startChild() tells a signal as a shell does', async (t) => {
  const { child } = start('kill -ILL $$')
  t.match(await child.ended, { code: null, signal: 'SIGILL', exitCode: 132 })
})

t.test('startChild() without a program ends with 127', async (t) => {
  const deps = { env: {}, clock: systemClock }
  for (const command of ['/nowhere/llama-server', 'a\0b']) {
    const child = startChild({ command, args: [], env: {} }, deps)
    t.equal(child.pid, null)
    t.match(await child.ended, {
      code: 127,
      exitCode: 127,
      how: /^not started: .*(ENOENT|null bytes)/,
    })
  }
})

t.test('stop() passes the signal on, and its own code is what counts', async (t) => {
  const { child, out } = start('trap "exit 9" INT; echo ready; while :; do sleep 0.05; done')
  await pidsOf(out)
  child.stop('SIGINT')
  t.match(await child.ended, { code: 9, signal: null })
})

t.test('processes that outlive the first one end with it, deaf ones, too', async (t) => {
  const { child, out } = start(
    `sleep 600 & echo pid $!
     sh -c 'trap "" TERM; echo pid $$; echo ready; while :; do sleep 1; done' &
     wait`,
  )
  const pids = await pidsOf(out)
  t.equal(pids.length, 2)
  t.ok(pids.every(isAlive), 'they run')
  child.stop('SIGTERM')
  await child.ended
  t.notOk(pids.some(isAlive), 'and are gone')
})

t.test('processes of a child that crashes end, too', async (t) => {
  const { child, out } = start('sleep 600 & echo pid $!; echo ready; sleep 0.1; kill -KILL $$')
  const pids = await pidsOf(out)
  t.match(await child.ended, { signal: 'SIGKILL', exitCode: 137 })
  t.notOk(pids.some(isAlive))
})

t.test('signal() ends a child that does not listen', async (t) => {
  const { child, out } = start('trap "" INT TERM; echo ready; while :; do sleep 0.05; done')
  await pidsOf(out)
  child.stop('SIGTERM')
  child.signal('SIGKILL')
  t.match(await child.ended, { signal: 'SIGKILL' })
})

const moduleOf = (name: string) =>
  JSON.stringify(fileURLToPath(new URL(`../../src/${name}`, import.meta.url)))

/** A process that starts this shell script as its child, and what they print. It exits at a line on stdin. */
function owner(t: Test, script: string) {
  const text = `
    const { startChild } = await import(${moduleOf('process/child.ts')})
    const { systemClock: clock } = await import(${moduleOf('runtime/clock.ts')})
    const command = { command: '/bin/sh', args: ['-c', ${JSON.stringify(script)}], env: {} }
    const output = { stdout: process.stdout, stderr: process.stderr }
    startChild(command, { env: process.env, clock, output })
    process.stdin.on('data', () => process.exit(3))`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', text], {
    env: { PATH: process.env['PATH'] ?? '' },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => parent.kill('SIGKILL'))
  const out = { text: '' }
  parent.stdout.setEncoding('utf8').on('data', (piece: string) => (out.text += piece))
  return { parent, out, gone: once(parent, 'exit') }
}

t.test('a child does not outlive the sudden death of who started it', async (t) => {
  const one = owner(t, 'sleep 600 & echo pid $$; echo pid $!; echo ready; wait')
  const pids = await pidsOf(one.out)
  t.equal(pids.length, 2)
  one.parent.kill('SIGKILL')
  await one.gone
  await until(() => (pids.some(isAlive) ? undefined : true))
  t.pass('both are gone')
})

t.test('a child that is only asked over its channel, and does not hear, is killed', async (t) => {
  const heard: unknown[] = []
  const script = `process.on('disconnect', () => {}); setInterval(() => {}, 1_000); process.send('up')`
  const command = { command: process.execPath, args: ['-e', script], env: {} }
  const onMessage = (message: unknown): void => void heard.push(message)
  const child = startChild(command, { env: {}, clock: systemClock, onMessage, graceMs: 100 })
  await until(() => (heard.length > 0 ? true : undefined))
  t.same(heard, ['up'])
  child.stop('hang_up')
  t.match(await child.ended, { signal: 'SIGKILL', how: 'SIGKILL' })
})

t.test('a child without output of its own leaves the last lines of its stderr', async (t) => {
  const command = { command: '/bin/sh', args: ['-c', 'echo out; echo err >&2'], env: {} }
  const end = await startChild(command, { env: {}, clock: systemClock }).ended
  t.same(end.lines, ['err'])
})

t.test('a reader that has left does not stop the child', async (t) => {
  const gone = new PassThrough()
  gone.destroy(new Error('EPIPE'))
  gone.on('error', () => {})
  const script = 'i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done; exit 4'
  const command = { command: '/bin/sh', args: ['-c', script], env: {} }
  const output = { stdout: gone, stderr: gone }
  const end = await startChild(command, { env: {}, clock: systemClock, output }).ended
  t.equal(end.code, 4)
})

t.test('a child that has ended leaves no timer, whatever is asked of it', async (t) => {
  const pending = new Set<object>()
  const clock: Clock = {
    ...systemClock,
    after(delayMs, task) {
      const timer = {}
      pending.add(timer)
      const cancel = systemClock.after(delayMs, () => {
        pending.delete(timer)
        task()
      })
      return () => {
        pending.delete(timer)
        cancel()
      }
    },
  }
  const command = { command: '/bin/sh', args: ['-c', 'exec sleep 600'], env: {} }
  const child = startChild(command, { env: process.env, clock, graceMs: 600_000 })
  child.stop('SIGTERM')
  child.signal('SIGKILL')
  child.signal('SIGKILL')
  await child.ended
  child.stop('SIGTERM')
  child.signal('SIGKILL')
  t.equal(pending.size, 0)
})

t.test('the guard of a child ends with it', async (t) => {
  const { child } = start('sleep 0.3')
  await until(() => guardOf(child.pid) ?? undefined)
  await child.ended
  await until(() => (guardOf(child.pid) === null ? true : undefined))
  t.pass('no shell is left')
})

t.test('who exits without waiting kills its children on the way', async (t) => {
  const script = 'trap "" TERM; echo pid $$; echo ready; while :; do sleep 0.05; done'
  const one = owner(t, script)
  const pids = await pidsOf(one.out)
  process.kill(await until(() => guardOf(pids[0]) ?? undefined), 'SIGKILL')
  one.parent.stdin.write('go\n')
  t.same(await one.gone, [3, null])
  await until(() => (pids.some(isAlive) ? undefined : true))
  t.pass('without the guard')
})

t.test('childEnv() keeps the settings of the gate from its children', async (t) => {
  t.same(childEnv({ PATH: '/bin', GENGATE_A_API_KEY: 'sk', gengate_x: 'y', HF_TOKEN: 'hf' }), {
    PATH: '/bin',
    HF_TOKEN: 'hf',
  })
})
