import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { readPs, readStat, startTimeOf } from '../../src/process/proc.ts'

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
