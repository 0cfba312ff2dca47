import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'

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
