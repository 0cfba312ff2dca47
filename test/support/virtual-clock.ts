import type { Clock } from '../../src/runtime/clock.ts'

/** A clock that moves only when told to. `pending` must be 0 at the end of a test. */
export class VirtualClock implements Clock {
  #now = 0
  #seq = 0
  #timers: { at: number; seq: number; task: () => void }[] = []

  get pending(): number {
    return this.#timers.length
  }

  nowMs(): number {
    return this.#now
  }

  wallMs(): number {
    return 1_800_000_000_000 + this.#now
  }

  after(delayMs: number, task: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, delayMs), seq: this.#seq++, task }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** Moves on by `ms`, firing what is due in order, and lets promises settle after each timer. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms
    await settle()
    for (;;) {
      const due = this.#timers
        .filter((timer) => timer.at <= until)
        .toSorted((a, b) => a.at - b.at || a.seq - b.seq)[0]
      if (due === undefined) break
      this.#timers = this.#timers.filter((other) => other !== due)
      this.#now = due.at
      due.task()
      await settle()
    }
    this.#now = until
    await settle()
  }
}

/** Lets every promise that can settle without a timer do so. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
  await new Promise((resolve) => setImmediate(resolve))
}
