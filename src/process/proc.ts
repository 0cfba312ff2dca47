import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Clock } from '../runtime/clock.ts'

/** `ps` answers at once or not at all, ms. */
const PS_MS = 2_000

/**
 * When the process `pid` was started, as text that only this process has: a pid alone is given again.
 * Null: there is none, or only what its parent has yet to collect. On Linux from /proc (ticks since
 * the boot, and which boot that was), elsewhere from `ps`. Never rejects.
 */
export async function startTimeOf(pid: number): Promise<string | null> {
  const [stat, boot] = await Promise.all([
    textOf(`/proc/${pid}/stat`),
    textOf('/proc/sys/kernel/random/boot_id'),
  ])
  if (boot !== null) return stat === null ? null : readStat(stat, boot.trim())
  return readPs(await ps(pid))
}

/** The name of a program may hold spaces and brackets: fields are counted from the last bracket.
 *  State is field 3 and start time field 22 of proc(5). Pure. */
export function readStat(stat: string, boot: string): string | null {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, started] = [fields[0], fields[22 - 3]]
  const gone = state === undefined || state === 'Z' || state === 'X'
  return gone || started === undefined ? null : `${boot} ${started}`
}

/** One line of `ps -o state=,lstart=`: `S    Tue Nov 24 11:40:07 2026`. Pure. */
export function readPs(line: string): string | null {
  const [, state, started] = /^\s*(\S+)\s+(\S.*?)\s*$/.exec(line) ?? []
  return state === undefined || started === undefined || state.startsWith('Z') ? null : started
}

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    return null
  }
}

function ps(pid: number): Promise<string> {
  return new Promise((resolve) => {
    const args = ['-o', 'state=,lstart=', '-p', String(pid)]
    const env = { PATH: '/bin:/usr/bin', LC_ALL: 'C' }
    execFile('ps', args, { timeout: PS_MS, env }, (_error, stdout) => resolve(stdout))
  })
}

/** Nice value of a session that computes, of -20…19. Seen with a vLLM that takes both processors of a
 *  machine (Linux 6.18): at 0 the gate did not run for up to 40 s, at 1 for a second, at 5 for
 *  56 ms (docs/engines.md has the command). */
const NICE = '5\n'
/** The kernel takes one such change in 100 ms from all who are not root. */
const AGAIN_MS = 150
const TRIES = 5

/**
 * Lets others go first where this process computes. Linux shares the processors among sessions
 * before it shares them among processes (`CONFIG_SCHED_AUTOGROUP`; sched(7), "The autogroup
 * feature"), so what has been started as a session of its own can keep the gate from running at all,
 * and its own `nice` does not help. Where nobody else wants a processor it costs nothing. Does
 * nothing where there are no such groups: other systems, kernels without them, most containers.
 */
export function yieldToOthers(pid: number, clock: Clock, tries = TRIES): void {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, NICE)
  } catch (error) {
    const again = error instanceof Error && 'code' in error && error.code === 'EAGAIN'
    if (!again || tries <= 1) return
    clock.after(AGAIN_MS, () => yieldToOthers(pid, clock, tries - 1))
  }
}
