import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { type Clock, sleep } from '../runtime/clock.ts'
import { Tail } from './output.ts'
import { startTimeOf, yieldToOthers } from './proc.ts'

/** Between two looks whether the processes of a group are gone, ms. */
const LOOK_MS = 50
/** After SIGKILL the group is waited for this long, ms: a zombie that nobody reaps counts as one of it. */
const KILLED_MS = 1_000
/** A process that was sent SIGKILL and is not reported is looked for every so often, ms. */
const HELD_LOOK_MS = 1_000
/** After its processes are gone, output that they wrote is waited for this long, ms. */
const FLUSH_MS = 1_000
/** Exit code of a program that could not be started, as in a shell. */
const NOT_STARTED = 127

/** What to run: plain data, no shell. */
export interface Command {
  readonly command: string
  readonly args: readonly string[]
  /** Variables on top of our own environment. Undefined: not inherited. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** How a child is to be run. */
export interface ChildOptions {
  readonly clock: Clock
  /** Our own environment; our settings in it stay with us. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where its output goes; absent: nowhere, but its last lines of stderr are known. */
  readonly output?: { readonly stdout: Writable; readonly stderr: Writable }
  /** Hears what it sends over the channel of Node; absent: there is no channel. */
  readonly onMessage?: (message: unknown) => void
  /** Does it compute so much that others go first? */
  readonly givesWay?: boolean
  /** How long it may take to end after it was asked to, ms. */
  readonly graceMs?: number
  /** Processes that outlive its first one have so long to end by SIGTERM, ms; 0: none. */
  readonly stragglersMs?: number
}

/** How the first process of a child ended. */
export interface ChildEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** As a shell would tell it: 128 + the number of a signal, 127 if it did not start. */
  readonly exitCode: number
  /** `exit code 1`, `SIGKILL`, or why it did not start. */
  readonly how: string
  /** Its last lines, newest last. */
  readonly lines: readonly string[]
}

/** A child that was started, with all the processes that it starts itself. */
export interface Child {
  /** Of its first process and of its group; null: it could not be started. */
  readonly pid: number | null
  /** Resolves when no process of it is left, nor anything that it wrote. Never rejects. */
  readonly ended: Promise<ChildEnd>
  /** Asks it to end: by a signal to its first process, or by closing the channel. What is left after
   *  the grace is killed. */
  readonly stop: (ask: NodeJS.Signals | 'hang_up') => void
  /** To all of its processes; once they are gone, nothing happens. */
  readonly signal: (signal: 'SIGTERM' | 'SIGKILL') => void
}

/**
 * Starts a child as a process group of its own (`detached` makes one), so that Ctrl-C is not for it and
 * all of it ends together, also when we die suddenly. Its output goes through pipes and not by
 * inheritance: so its last lines are known when it ends. The price is that it sees no terminal, hence
 * no colours. Never throws: what cannot be started has ended.
 */
export function startChild(command: Command, options: ChildOptions): Child {
  const { clock, output, onMessage, graceMs = 0, stragglersMs = 0 } = options
  const child = spawned(command, options)
  if (child instanceof Error) {
    const ended = Promise.resolve({ ...notStarted(child), lines: [] })
    return { pid: null, ended, stop: () => {}, signal: () => {} }
  }
  const tail = new Tail()
  if (child.stdout !== null) read(child.stdout, tail, output?.stdout)
  if (child.stderr !== null) read(child.stderr, tail, output?.stderr)
  if (onMessage !== undefined) child.on('message', onMessage)
  const { pid = null } = child
  const dismiss = pid === null ? () => undefined : guard(pid)
  if (pid !== null && options.givesWay === true) yieldToOthers(pid, clock)
  const closed = Promise.withResolvers<void>()
  child.once('close', () => closed.resolve())
  const flushed = new AbortController()
  const exit = exitOf(child)
  let over = false
  let [cancelGrace, cancelLook]: (() => void)[] = []
  const signal = (name: 'SIGTERM' | 'SIGKILL'): void => {
    if (over || pid === null) return
    signalGroup(pid, name)
    if (name === 'SIGKILL')
      cancelLook ??= whenGone(pid, clock, () => exit.resolve(endOf(null, 'SIGKILL')))
  }
  const ended = exit.promise.then(async (end): Promise<ChildEnd> => {
    cancelGrace?.()
    await endGroup(pid, stragglersMs, clock)
    over = true
    cancelGrace?.()
    cancelLook?.()
    dismiss()
    await Promise.race([closed.promise, sleep(clock, FLUSH_MS, flushed.signal)])
    flushed.abort()
    // Whoever left the group may hold the other ends. What a slow reader has yet to take stays.
    for (const stream of [child.stdout, child.stderr]) {
      if (stream?.readableLength === 0) stream.destroy()
    }
    return { ...end, lines: tail.lines }
  })
  return {
    pid,
    ended,
    signal,
    stop(ask) {
      if (over) return
      if (ask !== 'hang_up') child.kill(ask)
      else if (child.connected) child.disconnect()
      else return signal('SIGKILL')
      cancelGrace ??= clock.after(graceMs, () => signal('SIGKILL'))
    },
  }
}

/** The environment of a process that we start. Our own settings stay with us: keys of upstreams are
 *  among them. Pure. */
export function childEnv(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^gengate_/i.test(name)))
}

function spawned(
  { command, args, env }: Command,
  { env: own, output, onMessage }: ChildOptions,
): ChildProcess | Error {
  try {
    const channel = onMessage === undefined ? [] : (['ipc'] as const)
    return spawn(command, args, {
      env: { ...childEnv(own), ...env },
      stdio: ['ignore', output === undefined ? 'ignore' : 'pipe', 'pipe', ...channel],
      detached: true,
    })
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

type Exit = Omit<ChildEnd, 'lines'>

function notStarted({ message }: Error): Exit {
  return { ...endOf(NOT_STARTED, null), how: `not started: ${message}` }
}

function exitOf(child: ChildProcess): PromiseWithResolvers<Exit> {
  const exit = Promise.withResolvers<Exit>()
  child.once('exit', (code, signal) => exit.resolve(endOf(code, signal)))
  // Only where it could not be started at all: otherwise `exit` comes.
  child.on('error', (error) => {
    if (child.pid === undefined) exit.resolve(notStarted(error))
  })
  return exit
}

function endOf(code: number | null, signal: NodeJS.Signals | null): Exit {
  const exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal]
  return { code, signal, exitCode, how: signal ?? `exit code ${code}` }
}

/** A slow reader slows the child, as it would without us. One that left is an error of `to`, which is
 *  for its owner to hear; the child is read on, or it would stop at its full pipe. */
function read(from: Readable, tail: Tail, to?: Writable): void {
  from.on('data', (piece: Buffer) => tail.add(piece))
  if (to === undefined) return
  from.pipe(to, { end: false })
  const readOn = (): void => void from.resume()
  to.on('error', readOn)
  from.once('close', () => to.off('error', readOn))
}

/** Calls `then` when the kernel knows no such process any more: one that a debugger holds is dead and is
 *  not reported. Call the result to look no more. */
function whenGone(pid: number, clock: Clock, then: () => void): () => void {
  const end = new AbortController()
  const look = async (): Promise<void> => {
    while (!end.signal.aborted) {
      // One after the other is what looking again means.
      // oxlint-disable-next-line no-await-in-loop
      if ((await startTimeOf(pid)) === null) return then()
      // oxlint-disable-next-line no-await-in-loop
      await sleep(clock, HELD_LOOK_MS, end.signal)
    }
  }
  void look()
  return () => end.abort()
}

/** Ends what is left of a group: SIGTERM, then SIGKILL. Resolves when nothing of it is left, or at
 *  the latest a while after the SIGKILL. */
async function endGroup(pid: number | null, stragglersMs: number, clock: Clock): Promise<void> {
  const steps = [['SIGTERM', stragglersMs] as const, ['SIGKILL', KILLED_MS] as const]
  for (const [signal, waitMs] of steps) {
    const untilMs = clock.nowMs() + waitMs
    if (waitMs > 0) signalGroup(pid, signal)
    // One after the other is what looking again means.
    // oxlint-disable-next-line no-await-in-loop
    while (groupLives(pid) && clock.nowMs() < untilMs) await sleep(clock, LOOK_MS)
    if (!groupLives(pid)) return
  }
}

function groupLives(pid: number | null): boolean {
  if (pid === null) return false
  try {
    return process.kill(-pid, 0)
  } catch {
    // ESRCH: nobody is left. EPERM: macOS says so of a group of processes that have ended.
    return false
  }
}

/** To every process of the group `pid`. One that is gone already is not an error. */
export function signalGroup(pid: number | null, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (pid === null) return
  try {
    process.kill(-pid, signal)
  } catch {
    // As above.
  }
}

/** Groups that end with this process, however it exits. */
const GUARDED = new Set<number>()
let listens = false

/**
 * Waits for a word on its standard input. If only the end of it comes, who held the other end is
 * dead: then the process group that the first argument names is ended, with a grace of ten seconds.
 * Signals that are meant for us (a unit of systemd gets them as a whole) do not end it.
 */
const GUARD = `trap '' TERM INT HUP
read -r word && exit
kill -TERM -"$1"
for second in 1 2 3 4 5 6 7 8 9 10; do
  sleep 1
  kill -0 -"$1" || exit
done
kill -KILL -"$1"
`

/**
 * Guards a process group against our end. Where we exit, it is killed on the way. Against a sudden
 * death, a SIGKILL or a crash, we cannot ask the kernel: Node has no `prctl`, and macOS none at all. So
 * a shell holds the reading end of a pipe whose other end only we have, and the system itself tells
 * it. Costs one sleeping `sh`. Call the result when the group is gone.
 */
function guard(pid: number): () => void {
  if (!listens) process.on('exit', () => GUARDED.forEach((group) => signalGroup(group, 'SIGKILL')))
  listens = true
  GUARDED.add(pid)
  const shell = spawn('/bin/sh', ['-c', GUARD, 'gengate-guard', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { PATH: '/usr/bin:/bin' },
    // A Ctrl-C is not for it.
    detached: true,
  })
  // Without a shell there is no guard, and the child runs all the same.
  shell.on('error', () => undefined)
  shell.stdin.on('error', () => undefined)
  shell.unref()
  return () => {
    GUARDED.delete(pid)
    shell.stdin.end('gone\n')
  }
}
