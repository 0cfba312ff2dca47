import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { freePort, isAlive, owningGate, until, untilGenerated } from '../support/owned.ts'

// Goal: no engine outlives its gate, and none is started while an old process of it is not gone.
// Method: the gate as a process of its own is killed in several ways; what lives is read from the
// kernel. The engine has a worker that ignores SIGTERM, as a grandchild of the gate.

t.jobs = 3

t.test('kill -9 of the gate leaves no orphan, also no grandchild', async (t) => {
  const gate = await owningGate(t, 'child')
  await untilGenerated(gate, 1)
  await until(() => gate.pids().length === 2)
  const pids = gate.pids()
  t.same(pids.map(isAlive), [true, true])
  await gate.end('SIGKILL')
  await until(() => !pids.some(isAlive))
  t.pass('all are gone')
})

t.test('a gate that is told to stop ends its engine before it goes', async (t) => {
  const state = t.testdir({})
  const port = await freePort()
  const gate = await owningGate(t, 'child', { state, port })
  await untilGenerated(gate, 1)
  await until(() => gate.pids().length === 2)
  const pids = gate.pids()
  await gate.end('SIGTERM')
  t.equal(gate.child.exitCode, 0)
  t.same(pids.map(isAlive), [false, false])
  t.notOk(existsSync(`${state}/gengate/a-127.0.0.1-${port}.lock`), 'the lock is given back')
})

t.test('an engine that ignores SIGTERM is killed, and its worker with it', async (t) => {
  const gate = await owningGate(t, 'ignore-term child')
  await untilGenerated(gate, 1)
  await until(() => gate.pids().length === 2)
  const pids = gate.pids()
  await gate.end('SIGTERM')
  // What it wrote last may be read after its end.
  await until(() => gate.steps().includes('killed shutdown'))
  t.same(pids.map(isAlive), [false, false])
})

/** The shell that ends these, an engine and its worker, when the gate is gone. */
function guardOf(pids: readonly number[]): number {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=', '-o', 'args='], { encoding: 'utf8' })
  const [, pid] =
    new RegExp(`^ *(\\d+) .*gengate-guard (?:${pids.join('|')})$`, 'm').exec(rows) ?? []
  if (pid === undefined) throw new Error(`no guard of ${pids.join(', ')}`)
  return Number(pid)
}

t.test('a gate that is restarted waits for the old engine to end', async (t) => {
  const state = t.testdir({})
  const port = await freePort()
  const first = await owningGate(t, 'ignore-term child', { state, port })
  await untilGenerated(first, 1)
  await until(() => first.pids().length === 2)
  const old = first.pids()
  // Without its guard the old engine does not end until we say so.
  const guard = guardOf(old)
  process.kill(guard, 'SIGSTOP')
  await first.end('SIGKILL')
  const second = await owningGate(t, 'child', { state, port })
  await until(() => second.steps().includes('blocked'))
  t.same(old.map(isAlive), [true, true], 'the old engine is still ending')
  t.match((await second.upstream()).process, {
    state: 'blocked',
    note: /started by a gate that is gone/,
  })
  process.kill(guard, 'SIGCONT')
  await until(() => second.steps().includes('started'))
  t.same(old.map(isAlive), [false, false], 'it was started after the old one had gone')
  await untilGenerated(second, 1)
  const lock = JSON.parse(
    readFileSync(`${state}/gengate/a-127.0.0.1-${port}.lock`, 'utf8'),
  ) as unknown
  t.match(lock, { gate: { pid: second.child.pid }, engine: { pid: Number } })
})
