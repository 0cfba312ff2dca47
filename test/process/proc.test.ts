import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { readPs, readStat, startTimeOf, yieldToOthers } from '../../src/process/proc.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

t.test('readStat() counts fields from the last bracket, and calls a zombie gone', async (t) => {
  const fields = Array.from({ length: 30 }, (_, i) => `${i + 4}`)
  const stat = (state: string): string => `12 (a) b) (c) ${state} ${fields.join(' ')}`
  t.equal(readStat(stat('S'), 'boot'), 'boot 22')
  t.equal(readStat(stat('Z'), 'boot'), null)
  t.equal(readStat(stat('X'), 'boot'), null)
  t.equal(readStat('12 (a) S 1', 'boot'), null)
  t.equal(readStat('', 'boot'), null)
})

t.test('readPs() takes the start and leaves the state', async (t) => {
  t.equal(readPs('S    Tue Nov 24 11:40:07 2026\n'), 'Tue Nov 24 11:40:07 2026')
  t.equal(readPs('Z    Tue Nov 24 11:40:07 2026\n'), null)
  t.equal(readPs(''), null)
})

t.test('startTimeOf() stays the same while a process lives, and is null after it', async (t) => {
  const child = spawn('/bin/sleep', ['60'])
  const gone = once(child, 'exit')
  const first = await startTimeOf(child.pid ?? 0)
  t.ok(first)
  t.equal(await startTimeOf(child.pid ?? 0), first)
  t.not(await startTimeOf(process.pid), first, 'another process has another one')
  child.kill('SIGKILL')
  await gone
  t.equal(await startTimeOf(child.pid ?? 0), null)
})

// A child in a session of its own lets the gate run: read in the kernel's own file, where there is one.

t.test('yieldToOthers() lowers the session of that process, not ours', async (t) => {
  const ours = autogroupOf(process.pid)
  const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' })
  t.teardown(() => child.kill('SIGKILL'))
  const { pid } = child
  if (pid === undefined) throw new Error('no process')
  yieldToOthers(pid, systemClock)
  // The kernel may ask for another try a little later.
  while (!/nice 5|^$/.test(autogroupOf(pid))) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.equal(autogroupOf(process.pid), ours)
})

t.test('yieldToOthers() of a process that is gone does nothing', async (t) => {
  const clock = new VirtualClock()
  yieldToOthers(2_147_483_646, clock)
  t.equal(clock.pending, 0, 'and does not try again')
})

/** Empty where the kernel has no such groups. */
function autogroupOf(pid: number): string {
  const path = `/proc/${pid}/autogroup`
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}
