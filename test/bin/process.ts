import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import type { Readable } from 'node:stream'
import type { Test } from 'tap'
import { childEnv } from '../support/child-env.ts'

const root = join(import.meta.dirname, '..', '..')
/** The file that `gengate` is. */
export const launcher = join(root, 'bin', 'gengate.cjs')

/** A Node of the system: people may start gengate with it, whatever its age. */
export const systemNode =
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => !folder.includes('node_modules'))
    .map((folder) => join(folder, 'node'))
    .find((path) => existsSync(path)) ?? process.execPath

/** An environment without settings of ours, in which nothing is downloaded or generated. */
export function environment(more: Record<string, string> = {}): Record<string, string> {
  return childEnv({ GENGATE_EMBEDDED: 'off', ...more })
}

type Running = ChildProcessByStdio<null, Readable, Readable>

/** Starts `gengate serve` on a free port, waits until it listens. */
export async function serve(t: Test, env: Record<string, string> = {}) {
  const cwd = t.testdir({})
  const child: Running = spawn(systemNode, [launcher, 'serve'], {
    cwd,
    env: environment({ GENGATE_PORT: '0', GENGATE_UPSTREAMS: 'vllm_cpu', ...env }),
    stdio: ['ignore', 'pipe', 'pipe'],
    // A process group of its own, as a shell gives it, so that Ctrl-C can be imitated.
    detached: true,
  })
  t.teardown(() => {
    // The group: both processes at once.
    const runs = child.exitCode === null && child.signalCode === null
    if (runs && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  })
  const log = { text: '' }
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (log.text += chunk))
  const port = await until(() => /listens on http:\/\/127\.0\.0\.1:(\d+)\/v1/.exec(log.text)?.[1])
  return { child, log, port: Number(port), cwd, ended: once(child, 'exit') }
}

/** Looks until there is something to see. The runner's own time limit ends a wait in vain. */
export async function until<T>(look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (;;) {
    const seen = await look()
    if (seen !== undefined) return seen
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Runs a command line to its end. */
export function run(args: readonly string[], env: Record<string, string> = {}) {
  const options = { encoding: 'utf8', env: environment(env), cwd: import.meta.dirname } as const
  return spawnSync(systemNode, [launcher, ...args], options)
}

/** Does anybody listen there? */
export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
