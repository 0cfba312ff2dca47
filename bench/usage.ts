import { readdirSync, readFileSync } from 'node:fs'

/** Jiffies per second in /proc: fixed by Linux' user interface, whatever the kernel's own rate. */
const TICKS_PER_S = 100

/** Nanoseconds on a processor, from `/proc/PID/task/TID/schedstat` ("run wait slices"); null: the
 *  text is none. Pure. */
export function parseSchedstat(text: string): number | null {
  const match = /^(\d+) \d+ \d+\s*$/.exec(text)
  return match === null ? null : Number(match[1])
}

/** The same from `/proc/PID/stat` (user and system time in jiffies), for kernels built without
 *  schedstat. The name in it may hold spaces and parentheses. Pure. */
export function parseStat(text: string): number | null {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  return Number.isInteger(ticks) ? (ticks / TICKS_PER_S) * 1e9 : null
}

/** Resident kilobytes from `/proc/PID/status`; null: it does not say. Pure. */
export function parseRss(text: string): number | null {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(text)
  return match === null ? null : Number(match[1])
}

/** CPU time that all threads of a process have used so far, ns; null where /proc does not tell. */
export function cpuNs(pid: number): number | null {
  try {
    let total = 0
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const ns = parseSchedstat(read(`/proc/${pid}/task/${thread}/schedstat`))
      if (ns === null) return parseStat(read(`/proc/${pid}/stat`))
      total += ns
    }
    return total
  } catch {
    return fromStat(pid)
  }
}

/** Resident memory of a process, MB (10⁶ bytes); null where /proc does not tell. */
export function rssMb(pid: number): number | null {
  try {
    const kb = parseRss(read(`/proc/${pid}/status`))
    return kb === null ? null : (kb * 1024) / 1e6
  } catch {
    return null
  }
}

function fromStat(pid: number): number | null {
  try {
    return parseStat(read(`/proc/${pid}/stat`))
  } catch {
    return null
  }
}

function read(path: string): string {
  return readFileSync(path, 'utf8')
}
