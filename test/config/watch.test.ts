import { mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { POLL_MS, SETTLE_MS, watchEnvFile } from '../../src/config/watch.ts'
import { sleep, systemClock } from '../../src/runtime/clock.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

/** Generous: a machine may be busy. What must not be seen is waited for no longer than that. */
const SEEN_MS = 8_000
const UNSEEN_MS = 4 * SETTLE_MS

function wait(ms: number): Promise<void> {
  return sleep(systemClock, ms, new AbortController().signal)
}

/** A watch whose poll can be switched off, so that only the directory's own events are left. */
function watching(t: Test, path: string, { polls }: { polls: boolean }) {
  const seen = { calls: 0, polls }
  const clock = {
    ...systemClock,
    after: (ms: number, task: () => void) =>
      systemClock.after(ms, () => {
        if (ms !== POLL_MS || seen.polls) task()
      }),
  }
  t.teardown(watchEnvFile({ path, clock, onChange: () => seen.calls++ }))
  return {
    stopPolling: () => {
      seen.polls = false
    },
    /** Calls since one last asked: those until it is quiet again, or none after `ms`. */
    async calls(ms = SEEN_MS): Promise<number> {
      const until = systemClock.nowMs() + ms
      while (seen.calls === 0 && systemClock.nowMs() < until) await wait(20)
      for (let before = -1; before !== seen.calls;) {
        before = seen.calls
        await wait(2 * SETTLE_MS)
      }
      const { calls } = seen
      seen.calls = 0
      return calls
    },
  }
}

t.test('watchEnvFile() sees an edit in place, a rename over, removal and return', async (t) => {
  const dir = t.testdir({})
  const path = join(dir, '.env')
  writeFileSync(path, 'A=1')
  const watch = watching(t, path, { polls: false })
  writeFileSync(path, 'A=22')
  t.ok((await watch.calls()) > 0, 'in place')
  writeFileSync(join(dir, 'new'), 'A=3')
  t.equal(await watch.calls(UNSEEN_MS), 0, 'another file of the directory')
  renameSync(join(dir, 'new'), path)
  t.equal(await watch.calls(), 1, 'rename over, once')
  unlinkSync(path)
  t.equal(await watch.calls(), 1, 'removed, once')
  writeFileSync(path, 'A=4')
  t.ok((await watch.calls()) > 0, 'created again')
  unlinkSync(path)
  writeFileSync(path, 'A=55')
  t.ok((await watch.calls()) > 0, 'replaced')
})

t.test('watchEnvFile() sees the link swap of a ConfigMap, and edits behind it', async (t) => {
  const dir = t.testdir({})
  for (const version of ['..1', '..2']) {
    mkdirSync(join(dir, version))
    writeFileSync(join(dir, version, 'gate.env'), 'A=1')
  }
  symlinkSync('..1', join(dir, '..data'))
  symlinkSync(join('..data', 'gate.env'), join(dir, 'gate.env'))
  const watch = watching(t, join(dir, 'gate.env'), { polls: false })
  symlinkSync('..2', join(dir, '..data_tmp'))
  renameSync(join(dir, '..data_tmp'), join(dir, '..data'))
  t.equal(await watch.calls(), 1, 'swap, once')
  writeFileSync(join(dir, '..2', 'gate.env'), 'A=22')
  t.ok((await watch.calls()) > 0, 'edit in the new directory')
  writeFileSync(join(dir, '..1', 'gate.env'), 'A=333')
  t.equal(await watch.calls(UNSEEN_MS), 0, 'edit in the old one')
})

t.test('watchEnvFile() waits for a file whose directory is not there yet', async (t) => {
  const dir = join(t.testdir({}), 'later')
  const watch = watching(t, join(dir, '.env'), { polls: true })
  mkdirSync(dir)
  writeFileSync(join(dir, '.env'), 'A=1')
  t.ok((await watch.calls()) > 0, 'by the poll')
  watch.stopPolling()
  writeFileSync(join(dir, '.env'), 'A=22')
  t.ok((await watch.calls()) > 0, 'then by the watch')
  rmSync(dir, { recursive: true })
  t.equal(await watch.calls(), 1, 'directory removed, once')
})

t.test('watchEnvFile() is over when it is stopped', async (t) => {
  const path = join(t.testdir({}), '.env')
  const clock = new VirtualClock()
  let calls = 0
  const stop = watchEnvFile({ path, clock, onChange: () => calls++ })
  t.equal(clock.pending > 0, true)
  writeFileSync(path, 'A=1')
  stop()
  t.equal(clock.pending, 0)
  await clock.advance(10 * POLL_MS)
  t.equal(calls, 0)
})

t.test('watchEnvFile() that is stopped during a look says nothing more', async (t) => {
  const path = join(t.testdir({}), '.env')
  const tasks: (() => void)[] = []
  const clock = {
    ...systemClock,
    after: (_ms: number, task: () => void) => {
      tasks.push(task)
      return () => undefined
    },
  }
  let calls = 0
  const stop = watchEnvFile({ path, clock, onChange: () => calls++ })
  writeFileSync(path, 'A=1')
  tasks[0]?.()
  stop()
  await wait(100)
  t.equal(calls, 0)
})
