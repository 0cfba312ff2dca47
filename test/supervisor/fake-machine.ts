import type { VirtualClock } from '../support/virtual-clock.ts'
import type { ChildEnd } from '../../src/process/child.ts'
import type { Block, EngineProcess, Machine } from '../../src/supervisor/machine.ts'
import type { Plan } from '../../src/supervisor/machine.ts'

/** One process that an owner has started on the fake machine. */
export interface FakeProcess {
  readonly plan: Plan
  readonly pid: number
  readonly startedAt: number
  /** It ends by itself, now. */
  die(how?: string, lastLine?: string): void
}

/** The end of a fake process. */
export function endOf(how: string, lines: readonly string[] = []): ChildEnd {
  return { code: 1, signal: null, exitCode: 1, how, lines }
}

/** A machine without processes: starts are counted, signals end them after a while. */
export class FakeMachine implements Machine {
  readonly starts: FakeProcess[] = []
  readonly signals: string[] = []
  /** How long a process takes after SIGTERM; null: it ignores it. */
  termMs: number | null = 1_000
  block: Block | null = null
  released = 0
  readonly #clock: Pick<VirtualClock, 'nowMs' | 'after'>
  #running = 0

  constructor(clock: Pick<VirtualClock, 'nowMs' | 'after'>) {
    this.#clock = clock
  }

  get running(): number {
    return this.#running
  }

  get last(): FakeProcess {
    const last = this.starts.at(-1)
    if (last === undefined) throw new Error('nothing was started')
    return last
  }

  async blockedBy(): Promise<Block | null> {
    return this.block
  }

  release(): void {
    this.released++
  }

  start(plan: Plan, onExit: (end: ChildEnd) => void): EngineProcess {
    const pid = 1_000 + this.starts.length
    this.#running++
    let over = false
    const end = (how: string, lastLine = ''): void => {
      if (over) return
      over = true
      this.#running--
      onExit(endOf(how, lastLine === '' ? [] : [lastLine]))
    }
    this.starts.push({
      plan,
      pid,
      startedAt: this.#clock.nowMs(),
      die: (how = 'exit code 1', lastLine = '') => end(how, lastLine),
    })
    return {
      pid,
      log: '/state/a.log',
      signal: (signal) => {
        this.signals.push(signal)
        if (signal === 'SIGKILL') this.#clock.after(1, () => end('SIGKILL'))
        else if (this.termMs !== null) this.#clock.after(this.termMs, () => end('SIGTERM'))
      },
    }
  }
}
