// Goal: on a real machine one engine has one process, and what it leaves is where it is looked for.
// Method: shell scripts as engines; the lock and the log are read as files.
import { once } from 'node:events'
import { readFileSync, existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ChildEnd } from '../../src/process/child.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { filesOf, HostMachine, stateDirOf } from '../../src/supervisor/host.ts'
import { freePort } from '../support/owned.ts'
import { plan } from './situation.ts'

async function world(t: Test, script: string) {
  const stateDir = join(t.testdir({}), 'state')
  const url = `http://127.0.0.1:${await freePort()}`
  const line = { command: '/bin/sh', args: ['-c', script], env: { A: 'a' } }
  const one = plan({ url, line })
  const env = { PATH: process.env['PATH'], GENGATE_SECRET: 's' }
  const machine = (): HostMachine => new HostMachine({ clock: systemClock, env, stateDir })
  return { machine: machine(), another: machine(), one, url, files: filesOf(stateDir, one) }
}

function start(machine: HostMachine, one: ReturnType<typeof plan>) {
  const ended = Promise.withResolvers<ChildEnd>()
  return { engine: machine.start(one, ended.resolve), ended: ended.promise }
}

t.test('start() logs the output, holds the lock meanwhile, and tells the end', async (t) => {
  const { machine, another, one, files } = await world(
    t,
    'echo "$A $GENGATE_SECRET."; printf "  last\\033[0m \\n\\n"; read -r _ < /dev/null; sleep 600',
  )
  t.equal(await machine.blockedBy(one), null)
  const { engine, ended } = start(machine, one)
  t.equal(engine.log, files.log)
  while (!existsSync(files.log) || !readFileSync(files.log, 'utf8').includes('last')) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  t.match(await machine.blockedBy(one), { kind: 'lock', text: /this gate runs it already/ })
  t.match(await another.blockedBy(one), { kind: 'lock', text: `pid ${engine.pid}` })
  engine.signal('SIGTERM')
  const end = await ended
  t.match(end, { signal: 'SIGTERM', how: 'SIGTERM' })
  t.same(end.lines, ['a .', 'last\uFFFD[0m'], 'clipped, and nothing of ours')
  t.match(readFileSync(files.log, 'utf8'), /^a \.\n/)
  t.notOk(existsSync(files.lock), 'given back')
  t.equal(await machine.blockedBy(one), null)
  machine.release(one)
})

t.test('what cannot be started ends, and says why', async (t) => {
  const { machine, one } = await world(t, '')
  const absent = { ...one, line: { ...one.line, command: '/nowhere/engine' } }
  const { engine, ended } = start(machine, absent)
  t.match(engine, { pid: null, log: null })
  t.match(await ended, { exitCode: 127, how: /ENOENT/ })
  t.equal(await machine.blockedBy(one), null, 'the lock is free')
})

t.test('an address where something answers is left alone', async (t) => {
  const { machine, one, url, files } = await world(t, '')
  const server = createServer((socket) => socket.destroy())
  server.listen(Number(new URL(url).port), '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  t.match(await machine.blockedBy(one), { kind: 'port', text: url })
  t.notOk(existsSync(files.lock))
})

t.test('stateDirOf() follows the XDG specification', async (t) => {
  t.equal(stateDirOf({ XDG_STATE_HOME: '/x', HOME: '/h' }), '/x/gengate')
  t.equal(stateDirOf({ XDG_STATE_HOME: 'relative', HOME: '/h' }), '/h/.local/state/gengate')
})
