import type { Clock } from '../../src/runtime/clock.ts'

/**
 * Who acts: `world`, the upstreams and the machine; `timer`, our own timers; `io`, bytes and
 * answers that reach us. A stalled event loop delays the last two and not the first. What is due at
 * the same instant runs in this order, since Node runs timers before it polls.
 */
type Actor = 'world' | 'timer' | 'io'

interface Task {
  at: number
  /** When it was to run, before anything held it up. */
  readonly due: number
  readonly seq: number
  readonly actor: Actor
  run: (() => void) | null
}

const RANK: Readonly<Record<Actor, number>> = { world: 0, timer: 1, io: 2 }
const WALL_AT_START = 1_800_000_000_000

/** A virtual clock on a heap, with a machine around it that can stall our event loop or sleep. */
export class SimClock implements Clock {
  #now = 0
  #seq = 0
  #wallAhead = 0
  #stalledUntil = 0
  #timers = 0
  #heap: Task[] = []

  /** Our own timers that are set; must be 0 at the end. */
  get timers(): number {
    return this.#timers
  }

  nowMs(): number {
    return this.#now
  }

  wallMs(): number {
    return WALL_AT_START + this.#now + this.#wallAhead
  }

  after(delayMs: number, task: () => void): () => void {
    this.#timers++
    const timer = this.#add('timer', delayMs, () => {
      this.#timers--
      task()
    })
    return () => {
      if (timer.run !== null) this.#timers--
      timer.run = null
    }
  }

  /** Something of the world outside happens after `delayMs`, whatever our event loop does. */
  world(delayMs: number, task: () => void): () => void {
    const entry = this.#add('world', delayMs, task)
    return () => {
      entry.run = null
    }
  }

  /** Something reaches us now, or as soon as our event loop turns again. */
  io(task: () => void): void {
    this.#add('io', 0, task)
  }

  /** Our event loop does nothing for `ms`; the world goes on. */
  stall(ms: number): void {
    this.#stalledUntil = Math.max(this.#stalledUntil, this.#now + ms)
  }

  /** The whole machine sleeps. `monotonic`: does our monotonic clock count the time (not on Linux)? */
  sleep(ms: number, monotonic: boolean): void {
    if (!monotonic) {
      this.#wallAhead += ms
      return
    }
    const wakesAt = this.#now + ms
    // The world slept as well: all it had to do comes later. Our timers are all due at once.
    for (const task of this.#heap) {
      if (task.actor === 'timer') task.at = Math.max(task.at, wakesAt)
      else task.at += ms
    }
    const tasks = this.#heap
    this.#heap = []
    for (const task of tasks) this.#push(task)
  }

  /** Runs everything that is due until `untilMs`, and lets promises settle after each of our turns. */
  async run(untilMs: number): Promise<void> {
    await settle()
    for (let top = this.#heap[0]; top !== undefined && top.at <= untilMs; top = this.#heap[0]) {
      this.#pop()
      const { run, actor } = top
      if (run === null) continue
      if (actor !== 'world' && top.at < this.#stalledUntil) {
        top.at = this.#stalledUntil
        this.#push(top)
        continue
      }
      this.#now = top.at
      top.run = null
      run()
      if (actor !== 'world') await settle()
    }
    this.#now = untilMs
  }

  #add(actor: Actor, delayMs: number, run: () => void): Task {
    const at = this.#now + Math.max(0, delayMs)
    const task: Task = { at, due: at, seq: this.#seq++, actor, run }
    this.#push(task)
    return task
  }

  #push(task: Task): void {
    const heap = this.#heap
    let i = heap.push(task) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      const above = heap[parent]
      if (above === undefined || !isBefore(task, above)) break
      heap[i] = above
      i = parent
    }
    heap[i] = task
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      const left = heap[child]
      if (left === undefined) break
      const right = heap[child + 1]
      if (right !== undefined && isBefore(right, left)) child++
      const least = heap[child] ?? left
      if (!isBefore(least, last)) break
      heap[i] = least
      i = child
    }
    heap[i] = last
  }
}

function isBefore(a: Task, b: Task): boolean {
  if (a.at !== b.at) return a.at < b.at
  if (a.actor !== b.actor) return RANK[a.actor] < RANK[b.actor]
  // What was held up comes in the order in which it was due.
  return a.due !== b.due ? a.due < b.due : a.seq < b.seq
}

/** Every promise that can settle without a timer settles before the next turn of the event loop. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
