import { childEnv } from '../core/owned/child-env.ts'
import { accepts } from '../process/port.ts'
import { yieldToOthers } from '../process/autogroup.ts'
import type { Clock } from '../runtime/clock.ts'
import { EngineLog } from './engine-log.ts'
import { signalGroup, startGroup } from './group.ts'
import { EngineLock, type Holder } from './lock.ts'
import type { Block, EngineProcess, Exit, Machine } from './machine.ts'
import type { Plan } from './plan.ts'
import { startTimeOf } from '../process/proc.ts'
import { filesOf, stateDirOf } from './state-dir.ts'

/** After the engine has ended and its group was killed, its last words get this long to arrive, ms. */
const LAST_WORDS_MS = 1_000

/** How often a process that was killed is looked for until its end is reported, ms. */
const LOOK_MS = 1_000

/** The machine that the gate runs on. */
export interface HostMachineParts {
  readonly clock: Clock
  /** Of the gate; its own settings are left out for the engines. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where locks and logs lie. */
  readonly stateDir: string
}

/** The real machine: process groups, lock files, log files. */
export class HostMachine implements Machine {
  readonly #parts: HostMachineParts
  readonly #locks = new Map<string, EngineLock>()
  /** What is still written or removed, one thing after the other. */
  #filing: Promise<void> = Promise.resolve()

  constructor(parts: HostMachineParts) {
    this.#parts = parts
  }

  async blockedBy(plan: Plan): Promise<Block | null> {
    await this.#filing
    const lock = await this.#lockOf(plan)
    const block = await lock.take()
    if (block !== null) return block
    if (!(await accepts(new URL(plan.url), this.#parts.clock))) return null
    await lock.release()
    const text = `something that this gate did not start answers at ${plan.url}: it is left alone, and nothing is started`
    return { kind: 'port', text }
  }

  start(plan: Plan, onExit: (exit: Exit) => void): EngineProcess {
    const { clock, env, stateDir } = this.#parts
    const log = new EngineLog(filesOf(stateDir, plan).log)
    const end = (how: string): void => {
      const filed = this.#file(plan, async (lock) => {
        await log.close()
        await lock.release()
      })
      void filed.then(() => onExit({ how, lines: log.lastLines }))
    }
    let group: ReturnType<typeof startGroup>
    try {
      group = startGroup(plan.line, childEnv(env))
    } catch (error) {
      end(error instanceof Error ? error.message : String(error))
      return { pid: null, log: null, signal: () => undefined }
    }
    const { pid } = group
    if (pid !== undefined) yieldToOthers(pid, clock)
    for (const stream of [group.stdout, group.stderr]) {
      stream?.on('data', (chunk: Buffer) => log.write(chunk))
    }
    let [exited, ended] = [false, false]
    let cancelLook: (() => void) | null = null
    const endOnce = (how: string): void => {
      if (ended) return
      ended = true
      cancelLook?.()
      for (const stream of group.stdio) stream?.destroy()
      end(how)
    }
    group.once('error', (error) => endOnce(error.message))
    group.once('exit', (code, signal) => {
      exited = true
      // Whoever is left of its group serves nobody any more. The watcher, which is still in it,
      // keeps the number of the group from being given again.
      if (pid !== undefined && !ended) signalGroup(pid, 'SIGKILL')
      const how = signal ?? `exit code ${code}`
      const cancel = clock.after(LAST_WORDS_MS, () => endOnce(how))
      group.once('close', () => {
        cancel()
        endOnce(how)
      })
    })
    if (pid === undefined) return { pid: null, log: null, signal: () => undefined }
    /** A process that a debugger holds is dead and is not reported: the kernel is asked. */
    const lookForEnd = async (): Promise<void> => {
      const gone = (await startTimeOf(pid)) === null
      if (gone && !exited) endOnce('SIGKILL')
      if (!ended) cancelLook = clock.after(LOOK_MS, () => void lookForEnd())
    }
    void this.#file(plan, (lock) => lock.engineRuns(pid))
    return {
      pid,
      log: log.path,
      signal: (signal) => {
        if (exited) return
        signalGroup(pid, signal)
        if (signal === 'SIGKILL') void lookForEnd()
      },
    }
  }

  release(plan: Plan): void {
    void this.#file(plan, (lock) => lock.release())
  }

  #file(plan: Plan, task: (lock: EngineLock) => Promise<void>): Promise<void> {
    this.#filing = this.#filing.then(async () => task(await this.#lockOf(plan)))
    return this.#filing
  }

  async #lockOf(plan: Plan): Promise<EngineLock> {
    const { lock: path } = filesOf(this.#parts.stateDir, plan)
    const known = this.#locks.get(path)
    if (known !== undefined) return known
    const self: Holder = {
      pid: process.pid,
      startTime: (await startTimeOf(process.pid)) ?? '',
    }
    const { clock } = this.#parts
    const lock = new EngineLock({ path, self, startTimeOf, kill, nowMs: () => clock.nowMs() })
    this.#locks.set(path, lock)
    return lock
  }
}

function kill(pid: number): void {
  signalGroup(pid, 'SIGKILL')
}

/** This machine, with locks and logs where its user keeps state. */
export function hostMachine({
  clock,
  env = {},
}: {
  readonly clock: Clock
  readonly env?: HostMachineParts['env']
}): HostMachine {
  return new HostMachine({ clock, env, stateDir: stateDirOf(env) })
}
