interface Waiting<T> {
  readonly give: (item: T) => void
}

/**
 * A fixed set of things that one user at a time may hold, and a bounded queue for them, first come
 * first served. Every acquired item must be released once.
 */
export class Slots<T> {
  readonly #free: T[]
  readonly #waitingMax: number
  readonly #waiting = new Set<Waiting<T>>()
  readonly #total: number

  constructor(items: readonly T[], waitingMax: number) {
    this.#free = [...items]
    this.#total = items.length
    this.#waitingMax = waitingMax
  }

  get held(): number {
    return this.#total - this.#free.length
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** An item, `full` if too many wait already, or `aborted` if the signal aborted first. */
  acquire(signal: AbortSignal): Promise<{ readonly item: T } | 'full' | 'aborted'> {
    if (signal.aborted) return Promise.resolve('aborted')
    // The most recently used one first: what it holds in memory is the warmest.
    const free = this.#free.pop()
    if (free !== undefined) return Promise.resolve({ item: free })
    if (this.#waiting.size >= this.#waitingMax) return Promise.resolve('full')
    return new Promise((resolve) => {
      const leave = (): void => {
        this.#waiting.delete(waiting)
        resolve('aborted')
      }
      const waiting: Waiting<T> = {
        give: (item) => {
          signal.removeEventListener('abort', leave)
          resolve({ item })
        },
      }
      this.#waiting.add(waiting)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  release(item: T): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#free.push(item)
      return
    }
    this.#waiting.delete(next)
    next.give(item)
  }
}
