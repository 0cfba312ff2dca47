import { existsSync } from 'node:fs'
import t from 'tap'
import { freePort, isAlive, owningGate, until, untilGenerated } from '../support/owned.ts'

// Goal: no engine outlives its gate.
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
  t.ok(gate.steps().includes('killed shutdown'))
  t.same(pids.map(isAlive), [false, false])
})
