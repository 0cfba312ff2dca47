import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { clip } from '../errors/body.ts'
import { type ChildEnd, signalGroup, startChild } from '../process/child.ts'
import { LogFile } from '../process/output.ts'
import { acceptsAt } from '../process/port.ts'
import { startTimeOf } from '../process/proc.ts'
import type { Clock } from '../runtime/clock.ts'
import { EngineLock } from './lock.ts'
import type { Block, EngineProcess, Machine, Plan } from './machine.ts'

/** Longest last line of an engine that is shown, characters. */
const LINE_CHARS_MAX = 300

/** The machine that the gate runs on: process groups, lock files, log files. */
export class HostMachine implements Machine {
  readonly #clock: Clock
  readonly #env: Readonly<Record<string, string | undefined>>
  readonly #stateDir: string
  readonly #locks = new Map<string, EngineLock>()
  /** What is still written or removed, one thing after the other. */
  #filing: Promise<void> = Promise.resolve()

  /** `env` is the gate's; its own settings are left out for the engines. `stateDir`: where locks and logs
   *  lie; by default where its user keeps state. */
  constructor({
    clock,
    env = {},
    stateDir = stateDirOf(env),
  }: {
    readonly clock: Clock
    readonly env?: Readonly<Record<string, string | undefined>>
    readonly stateDir?: string
  }) {
    this.#clock = clock
    this.#env = env
    this.#stateDir = stateDir
  }

  async blockedBy(plan: Plan): Promise<Block | null> {
    await this.#filing
    const lock = await this.#lockOf(plan)
    const block = await lock.take()
    if (block !== null) return block
    if (!(await acceptsAt(new URL(plan.url), this.#clock))) return null
    await lock.release()
    const text = `something that this gate did not start answers at ${plan.url}, so the gate starts nothing there`
    return { kind: 'port', text }
  }

  start(plan: Plan, onExit: (end: ChildEnd) => void): EngineProcess {
    const log = new LogFile(filesOf(this.#stateDir, plan).log)
    const output = { stdout: log, stderr: log }
    const own = { clock: this.#clock, env: this.#env, output, givesWay: true }
    // Whoever of it outlives its first process serves nobody any more, and is killed at once.
    const { pid, signal, ended } = startChild(plan.line, own)
    if (pid !== null) void this.#file(plan, (lock) => lock.engineRuns(pid))
    const close = async (lock: EngineLock): Promise<void> => {
      await log.close()
      await lock.release()
    }
    void ended.then(async (end) => {
      await this.#file(plan, close)
      return onExit({ ...end, lines: shown(end.lines) })
    })
    return { pid, log: pid === null ? null : log.path, signal }
  }

  release(plan: Plan): void {
    void this.#file(plan, (lock) => lock.release())
  }

  #file(plan: Plan, task: (lock: EngineLock) => Promise<void>): Promise<void> {
    this.#filing = this.#filing.then(async () => task(await this.#lockOf(plan)))
    return this.#filing
  }

  async #lockOf(plan: Plan): Promise<EngineLock> {
    const { lock: path } = filesOf(this.#stateDir, plan)
    const known = this.#locks.get(path)
    if (known !== undefined) return known
    const self = { pid: process.pid, startTime: (await startTimeOf(process.pid)) ?? '' }
    const nowMs = (): number => this.#clock.nowMs()
    const lock = new EngineLock({ path, self, startTimeOf, kill, nowMs })
    this.#locks.set(path, lock)
    return lock
  }
}

function kill(pid: number): void {
  signalGroup(pid, 'SIGKILL')
}

/** The lines that hold anything, clipped and without control characters. */
function shown(lines: readonly string[]): string[] {
  return lines.map((line) => clip(line.trim(), LINE_CHARS_MAX)).filter((line) => line !== '')
}

/** Where locks and logs of engines lie: state, by the XDG base directory specification, which says
 *  that a relative path is to be ignored. Pure but for the home folder. */
export function stateDirOf(env: Readonly<Record<string, string | undefined>>): string {
  const named = env['XDG_STATE_HOME'] ?? ''
  const home = env['HOME'] ?? homedir()
  return join(isAbsolute(named) ? named : join(home, '.local', 'state'), 'gengate')
}

/** The files of one engine: by name and address, since two gates may give one name to two engines.
 *  Pure. */
export function filesOf(dir: string, { name, url }: Plan): { lock: string; log: string } {
  const { hostname, port, protocol } = new URL(url)
  const host = hostname.replaceAll(/[^a-z0-9.-]/g, '_')
  const base = join(dir, `${name}-${host}-${port === '' ? protocol.slice(0, -1) : port}`)
  return { lock: `${base}.lock`, log: `${base}.log` }
}
