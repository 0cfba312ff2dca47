import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { childEnv } from './child-env.ts'

/** A gate in a process of its own, whose memory is its own, too. */
export interface GateProcess {
  readonly url: string
  readonly port: number
  /** Memory in use now, MB. Linux only. */
  rssMb(): number
  /** From now on `peakMb` counts. */
  resetPeak(): void
  /** The most that was in use since `resetPeak`, MB, by the kernel's own book. */
  peakMb(): number
}

interface Teardown {
  teardown: (end: () => Promise<void>) => unknown
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** Starts `gengate serve` on a free port; `t` ends it. Resolves when it is ready to serve. */
export async function gateProcess(t: Teardown, env: Record<string, string>): Promise<GateProcess> {
  const child = spawn(process.execPath, [MAIN, 'serve'], {
    env: childEnv({ GENGATE_PORT: '0', GENGATE_EMBEDDED: 'off', ...env }),
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.teardown(async () => {
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  })
  const port = await new Promise<number>((resolve, reject) => {
    let log = ''
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      log += chunk
      const found = /listens on http:\/\/127\.0\.0\.1:(\d+)/.exec(log)?.[1]
      if (found !== undefined) resolve(Number(found))
    })
    child.on('exit', () => reject(new Error(log)))
  })
  const url = `http://127.0.0.1:${port}`
  while ((await fetch(`${url}/readyz`)).status !== 200) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const mb = (field: string): number => {
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024
  }
  return {
    url,
    port,
    rssMb: () => mb('VmRSS'),
    // proc(5): 5 resets the peak to what is in use now.
    resetPeak: () => writeFileSync(`/proc/${child.pid}/clear_refs`, '5'),
    peakMb: () => mb('VmHWM'),
  }
}
