import type { Dispatcher } from 'undici'
import type { Clock } from '../../runtime/clock.ts'
import { type Connection, FRESH, type Pool } from './pools.ts'

/** An engine may take so long to end the body of an answer that has ended; then it is closed. */
const SETTLE_MS = 1_000
/** A used connection that dies within this after the last byte of the request, ms, had died before: a
 *  round trip, and no time to begin the work. */
const AT_ONCE_MS = 50
/** Idle for longer, it may be about to be closed: not for what can be sent only once. */
const FRESH_MS = 1_000

/** The connection of one attempt: taken, replaced once at most, and given back or closed once. */
export class Hop {
  readonly #pool: Pool
  readonly #clock: Clock
  #connection: Connection
  /** Had the connection carried a request before this dispatch? */
  #reused = false
  /** Has the answer ended, while the body that carried it is still open? */
  #settling = false
  #cancelTimer = (): void => {}

  /** `once`: what is sent cannot be sent again. */
  constructor(pool: Pool, clock: Clock, once: boolean) {
    this.#pool = pool
    this.#clock = clock
    this.#connection = once ? pool.take(FRESH_MS) : pool.take()
  }

  /** Is all that was written out of this process? */
  get flushed(): () => boolean {
    return this.#connection.flushed
  }

  /** May the upstream have all of what was sent? */
  get seen(): boolean {
    return this.#connection.flushedAt() !== null
  }

  /** Was it too late already when the request was sent on this connection, which has broken? */
  get diedBefore(): boolean {
    const at = this.#connection.flushedAt()
    return this.#reused && (at === null || this.#clock.nowMs() - at <= AT_ONCE_MS)
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#reused = this.#connection.reused()
    this.#connection.client.dispatch(options, handler)
    this.#connection.noteSent()
  }

  /** Takes a fresh connection in place of one that broke. */
  replace(): void {
    this.#pool.drop(this.#connection)
    this.#connection = this.#pool.take(FRESH)
  }

  /** `open`: the answer has ended, its body has not yet. Only a clean connection is used again. */
  end(how: 'clean' | 'open' | 'broken'): void {
    if (how === 'clean') return this.#pool.give(this.#connection)
    if (how === 'broken') return this.#pool.drop(this.#connection)
    this.#settling = true
    this.#pool.settle(this.#connection)
    this.#cancelTimer = this.#clock.after(SETTLE_MS, () => this.settle(false))
  }

  /** The body of an answer that had ended before has ended, too, or never will. */
  settle(clean: boolean): void {
    if (!this.#settling) return
    this.#settling = false
    this.#cancelTimer()
    if (clean) this.#pool.give(this.#connection)
    else this.#pool.drop(this.#connection)
  }
}
