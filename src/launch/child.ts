import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { delimiter } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { childEnv } from '../core/owned/child-env.ts'
import { yieldToOthers } from '../process/autogroup.ts'
import type { Clock } from '../runtime/clock.ts'
import type { StartLine } from './start-line.ts'
import { Tail } from '../process/output.ts'
import { guardGroup } from '../process/guard.ts'

/** How long an engine may take to end by itself after a signal, ms. A vLLM that is told to end needs
 *  6.7 s on a machine with two cores (seen with 0.32.0). */
export const GRACE_MS = 20_000
/** How long processes that outlive the engine's first one may take, ms. */
export const STRAGGLERS_MS = 5_000
/** Between two looks whether its processes are gone, ms. */
const LOOK_MS = 50
/** After its processes are gone, output that they wrote is waited for this long, ms. */
const FLUSH_MS = 500

/** How the first process of an engine ended. */
export interface EngineEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** Exit code as a shell would tell it: 128 + the number of a signal, 127 if it did not start. */
  readonly exitCode: number
  /** Its last lines, newest last. */
  readonly lines: readonly string[]
}

/** An engine that was started here, with all the processes that it starts itself. */
export interface RunningEngine {
  readonly pid: number | null
  /** Resolves when no process of it is left, nor anything that it wrote. Never rejects. */
  readonly ended: Promise<EngineEnd>
  /** Passes a signal on to its first process; what is left after the grace is killed. */
  readonly stop: (signal: NodeJS.Signals) => void
  /** Kills all of its processes now. */
  readonly kill: () => void
}

/** What starting an engine needs of the process around it. */
export interface ChildDeps {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly stdout: Writable
  readonly stderr: Writable
}

/**
 * Starts an engine. It is a process group of its own (`detached` makes one), so that a vLLM's workers
 * end with it; it stays our child and we stay in the foreground. Its output goes through pipes, byte
 * for byte, and not by inheritance: so the last lines are known when it ends. The price is that it
 * sees no terminal, hence no colours.
 */
export function startEngine(line: StartLine, deps: ChildDeps): RunningEngine {
  const child = spawn(line.command, line.args, {
    env: { ...childEnv(deps.env), ...envChanges(line, deps.env) },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const tail = new Tail()
  show(child.stdout, deps.stdout, tail)
  show(child.stderr, deps.stderr, tail)
  const { pid = null } = child
  if (pid !== null) yieldToOthers(pid, deps.clock)
  const kill = (): void => signalGroup(pid, 'SIGKILL')
  // Whatever ends this process takes the engine along; a sudden death is the guard's.
  const dismiss = pid === null ? () => undefined : guardGroup(pid)
  process.once('exit', kill)
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  let cancelGrace: (() => void) | null = null
  const ended = endOf(child).then(async (end): Promise<EngineEnd> => {
    cancelGrace?.()
    await endGroup(pid, deps.clock)
    dismiss()
    process.removeListener('exit', kill)
    await Promise.race([closed, sleepMs(deps.clock, FLUSH_MS)])
    return { ...end, lines: tail.lines }
  })
  return {
    pid,
    ended,
    kill,
    stop(signal) {
      child.kill(signal)
      cancelGrace ??= deps.clock.after(GRACE_MS, kill)
    },
  }
}

/** What a start line changes in the environment `env`; undefined: not inherited. Pure. */
export function envChanges(
  { unset, pathFirst, env: own }: Pick<StartLine, 'unset' | 'pathFirst' | 'env'>,
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const removed = Object.fromEntries(unset.map((name) => [name, undefined]))
  const path = pathFirst === null ? {} : { PATH: [pathFirst, env['PATH'] ?? ''].join(delimiter) }
  return { ...removed, ...path, ...own }
}

/** Slow readers slow the engine, as they would without us. One that left is an error of `to`, which
 *  is for its owner to hear; the engine is read on, or it would stop at its full pipe. */
function show(from: Readable, to: Writable, tail: Tail): void {
  from.on('data', (piece: Buffer) => tail.add(piece))
  from.pipe(to, { end: false })
  const readOn = (): void => void from.resume()
  to.on('error', readOn)
  from.once('close', () => to.off('error', readOn))
}

function endOf(child: ChildProcess): Promise<Omit<EngineEnd, 'lines'>> {
  return new Promise((resolve) => {
    child.once('error', () => {
      // Only where it could not be started at all: otherwise `exit` comes.
      if (child.pid === undefined) resolve({ code: 127, signal: null, exitCode: 127 })
    })
    child.once('exit', (code, signal) => {
      const exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal]
      resolve({ code, signal, exitCode })
    })
  })
}

/** Ends what is left of a group: SIGTERM, then SIGKILL. Resolves when nothing of it is left, or at
 *  the latest a while after the SIGKILL: a zombie that nobody reaps counts as a process. */
async function endGroup(pid: number | null, clock: Clock): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    signalGroup(pid, signal)
    const untilMs = clock.nowMs() + STRAGGLERS_MS
    while (groupLives(pid)) {
      if (clock.nowMs() >= untilMs) break
      // One after the other is what looking again means.
      // oxlint-disable-next-line no-await-in-loop
      await sleepMs(clock, LOOK_MS)
    }
    if (!groupLives(pid)) return
  }
}

function groupLives(pid: number | null): boolean {
  if (pid === null) return false
  try {
    return process.kill(-pid, 0)
  } catch {
    return false
  }
}

function signalGroup(pid: number | null, signal: NodeJS.Signals): void {
  if (pid === null) return
  try {
    process.kill(-pid, signal)
  } catch {
    // Nothing of it is left.
  }
}

function sleepMs(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.after(delayMs, resolve))
}
