import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { EngineLock, type Holder, readLock } from '../../src/supervisor/lock.ts'

/** A folder with a lock file in it, and a machine on which the named processes live. */
function world(t: Test) {
  const path = join(t.testdir({}), 'state', 'a.lock')
  const living = new Map<number, string>([
    [100, 'old'],
    [200, 'new'],
  ])
  const killed: number[] = []
  const now = { ms: 0 }
  const lockOf = (self: Holder): EngineLock =>
    new EngineLock({
      path,
      self,
      startTimeOf: async (pid) => living.get(pid) ?? null,
      kill: (pid) => killed.push(pid),
      nowMs: () => now.ms,
    })
  /** The gate before ours runs an engine as pid 150. */
  const engineOfOld = async (): Promise<void> => {
    const before = lockOf(OLD)
    await before.take()
    living.set(150, 'engine')
    await before.engineRuns(150)
  }
  const content = () => readLock(readFileSync(path, 'utf8'))
  return { path, living, killed, now, lockOf, engineOfOld, content }
}
const OLD: Holder = { pid: 100, startTime: 'old' }
const NEW: Holder = { pid: 200, startTime: 'new' }

t.test('take() is exclusive between living gates, and release() gives it back', async (t) => {
  const { lockOf, content } = world(t)
  const [first, second] = [lockOf(OLD), lockOf(NEW)]
  t.equal(await first.take(), null)
  t.match(await second.take(), { kind: 'lock', text: /gate with pid 100 is about to start/ })
  await second.release()
  t.same(content()?.gate, OLD, 'a foreign lock is not given back')
  t.equal(await first.take(), null, 'its own claim is no obstacle')
  await first.release()
  t.equal(await second.take(), null)
})

t.test('a gate that was restarted waits for the engine of the one before', async (t) => {
  const { lockOf, living, content, engineOfOld } = world(t)
  await engineOfOld()
  t.same(content(), { gate: OLD, engine: { pid: 150, startTime: 'engine' } })
  const after = lockOf(NEW)
  const text = /the gate with pid 100 runs it already, as pid 150/
  t.match(await after.take(), { kind: 'lock', text })
  living.delete(100)
  t.match(await after.take(), { kind: 'lock', text: /pid 150, started by a gate that is gone/ })
  living.delete(150)
  t.equal(await after.take(), null)
})

t.test('a stale lock is recognised, also when its pid was given again', async (t) => {
  const { lockOf, living, engineOfOld } = world(t)
  await engineOfOld()
  living.delete(100)
  living.set(150, 'somebody else')
  t.equal(await lockOf(NEW).take(), null)
})

t.test('an engine that has lost its gate and its guard is killed after a while', async (t) => {
  const { lockOf, living, killed, now, engineOfOld } = world(t)
  await engineOfOld()
  const after = lockOf(NEW)
  t.ok(await after.take())
  now.ms = 60_000
  t.ok(await after.take())
  t.same(killed, [], 'while its gate lives it is not ours')
  living.delete(100)
  t.ok(await after.take())
  now.ms += 15_000
  t.ok(await after.take())
  t.same(killed, [], 'its guard has its time')
  now.ms += 1
  t.ok(await after.take(), 'it is waited for all the same')
  t.same(killed, [150])
})

t.test('a file that is no lock is replaced; where no file can be there is no lock', async (t) => {
  const { path, lockOf, content } = world(t)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, '{"gate":{"pid":1}')
  t.equal(await lockOf(NEW).take(), null)
  t.same(content(), { gate: NEW, engine: null })
  const holder = '{"gate":{"pid":1,"startTime":"x"}}'
  for (const text of ['', '[]', 'null', holder, holder.replace('1', '"2"')]) {
    t.equal(readLock(text), null, text)
  }
  const nowhere = new EngineLock({
    path: '/dev/null/a.lock',
    self: NEW,
    startTimeOf: async () => 'new',
    kill: () => t.fail('nobody is to be killed'),
    nowMs: () => 0,
  })
  t.equal(await nowhere.take(), null)
  await nowhere.engineRuns(200)
  await nowhere.release()
})
