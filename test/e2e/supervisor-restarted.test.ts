import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { freePort, isAlive, owningGate, until, untilGenerated } from '../support/owned.ts'

// Goal: no engine is started while an old process of it is not gone.
// Method: a gate is killed while nobody can end its engine, and another one is started.

/** The shell in the process group of an engine that ends it when the gate is gone. */
function watcherOf(member: number): number {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=', '-o', 'pgid=', '-o', 'args='], {
    encoding: 'utf8',
  })
    .split('\n')
    .map((row) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(row) ?? [])
  const group = rows.find(([, pid]) => Number(pid) === member)?.[2]
  const found = rows.find(
    ([, , pgid, args]) => pgid === group && args?.startsWith('/bin/sh') === true,
  )
  if (found === undefined)
    throw new Error(`no watcher of ${member} in\n${rows.map(([row]) => row).join('\n')}`)
  return Number(found[1])
}

t.test('a gate that is restarted waits for the old engine to end', async (t) => {
  const state = t.testdir({})
  const port = await freePort()
  const first = await owningGate(t, 'ignore-term child', { state, port })
  await untilGenerated(first, 1)
  await until(() => first.pids().length === 2)
  const old = first.pids()
  // Without its watcher the old engine does not end until we say so.
  const watcher = watcherOf(old[0] ?? 0)
  process.kill(watcher, 'SIGSTOP')
  await first.end('SIGKILL')
  const second = await owningGate(t, 'child', { state, port })
  await until(() => second.steps().includes('blocked'))
  t.same(old.map(isAlive), [true, true], 'the old engine is still ending')
  t.match((await second.upstream()).process, {
    state: 'blocked',
    note: /started by a gate that is gone/,
  })
  process.kill(watcher, 'SIGCONT')
  await until(() => second.steps().includes('started'))
  t.same(old.map(isAlive), [false, false], 'it was started after the old one had gone')
  await untilGenerated(second, 1)
  const lock = JSON.parse(
    readFileSync(`${state}/gengate/a-127.0.0.1-${port}.lock`, 'utf8'),
  ) as unknown
  t.match(lock, { gate: { pid: second.child.pid }, engine: { pid: Number } })
})
