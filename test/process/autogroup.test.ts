import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { yieldToOthers } from '../../src/process/autogroup.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

// Goal: an engine in a session of its own lets the gate run. Method: the kernel's own file about a real
// process; where the kernel has no such groups, that nothing is thrown.

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
