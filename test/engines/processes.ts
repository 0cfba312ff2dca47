import { readdirSync, readFileSync } from 'node:fs'

// What Linux tells about the processes of an engine, for engines that have no counters of their own.

/** Clock ticks a second: `getconf CLK_TCK` on every Linux that Node runs on. */
const TICKS_PER_S = 100

/** The descendants of a process, itself first. */
export function familyOf(pid: number): readonly number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    const parent = /^\d+$/.test(name) ? parentOf(Number(name)) : null
    if (parent !== null) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const family = [pid]
  for (const member of family) family.push(...(children.get(member) ?? []))
  return family
}

/** The first of the family whose command line matches; null: none does. */
export function memberOf(pid: number, command: RegExp): number | null {
  return familyOf(pid).find((member) => command.test(commandOf(member))) ?? null
}

/** Seconds of processor time that a family has used. */
export function cpuSecondsOf(pid: number): number {
  return familyOf(pid).reduce((sum, member) => sum + secondsOf(`/proc/${member}/stat`), 0)
}

/** The thread of a process that used the processor most within `ms`. */
export async function busiestThread(pid: number, ms: number): Promise<number> {
  const look = (): Map<number, number> => {
    const used = (tid: string) => secondsOf(`/proc/${pid}/task/${tid}/stat`)
    return new Map(readdirSync(`/proc/${pid}/task`).map((tid) => [Number(tid), used(tid)]))
  }
  const before = look()
  await new Promise((resolve) => setTimeout(resolve, ms))
  const used = [...look()].map(([tid, seconds]) => [tid, seconds - (before.get(tid) ?? 0)] as const)
  return used.reduce((most, one) => (one[1] > most[1] ? one : most))[0]
}

function commandOf(pid: number): string {
  return textOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')
}

function parentOf(pid: number): number | null {
  return fieldsOf(`/proc/${pid}/stat`)[1] ?? null
}

/** proc(5): utime and stime are fields 14 and 15. */
function secondsOf(stat: string): number {
  const fields = fieldsOf(stat)
  return ((fields[11] ?? 0) + (fields[12] ?? 0)) / TICKS_PER_S
}

/** Numbers after the name in brackets, which may hold anything: field 3 has index 0. */
function fieldsOf(stat: string): readonly number[] {
  const text = textOf(stat)
  return text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
}

/** Empty where the process ended meanwhile. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
