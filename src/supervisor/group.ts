import { type ChildProcess, spawn } from 'node:child_process'
import type { StartLine } from './plan.ts'

/** The watcher gives the engine so long between SIGTERM and SIGKILL, seconds. */
const WATCHER_GRACE_S = 10

/**
 * Starts the engine so that it cannot outlive the gate. Node cannot ask the kernel for that (`prctl`
 * is not to be had, and macOS has none), so a watcher does it: a shell in the engine's process group
 * that reads a pipe whose other end only the gate holds. However the gate ends, also by `kill -9`, the
 * pipe closes, and the watcher ends the group by SIGTERM, grace, SIGKILL.
 *
 * The watcher is started by a shell that then becomes the engine, so pid, exit code and signals are the
 * engine's own; by way of a second shell, so that it is no child of the engine. It ignores the SIGTERM
 * with which the gate ends the group, and ends with the SIGKILL that follows.
 */
const SCRIPT = `
grace=$1; shift
( ( trap '' TERM INT HUP
    read -r _ <&3
    kill -TERM 0
    sleep "$grace"
    kill -KILL 0 ) </dev/null >/dev/null 2>&1 & )
exec 3<&-
exec "$@"
`

/** Throws what `spawn` throws: no process can be made at all. */
export function startGroup(
  line: StartLine,
  env: Readonly<Record<string, string | undefined>>,
): ChildProcess {
  const args = ['-c', SCRIPT, 'gengate-engine', String(WATCHER_GRACE_S), line.command, ...line.args]
  const group = spawn('/bin/sh', args, {
    // A session and a process group of its own: Ctrl-C at the gate is not meant for the engine,
    // which may have answers to finish.
    detached: true,
    env: { ...env, ...line.env },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  // Nothing is ever written there; that it breaks when the engine ends is no news.
  for (const stream of group.stdio) stream?.on('error', () => undefined)
  return group
}

/** To every process of the group, the watcher too. One that is gone already is no error. */
export function signalGroup(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // ESRCH: nobody is left. EPERM: macOS says so of a group of processes that have ended.
  }
}
