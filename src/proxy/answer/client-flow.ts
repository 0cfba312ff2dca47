import type { ServerResponse } from 'node:http'
import type { Flow } from '../../core/exchange/exchange.ts'
import { STALLED_MS } from '../../core/exchange/trying.ts'
import type { Clock } from '../../runtime/clock.ts'

/** Looks from time to time at how an answer gets on. */
export class ClientFlow {
  readonly #response: ServerResponse
  #written = -1
  #waiting = -1
  #movedAt = 0

  constructor(response: ServerResponse) {
    this.#response = response
  }

  /** `written`: bytes of the answer so far. */
  look(nowMs: number, written: number): Flow {
    const { writableLength: waiting, writableNeedDrain: blocked } = this.#response
    if (written !== this.#written || waiting !== this.#waiting) this.#movedAt = nowMs
    this.#written = written
    this.#waiting = waiting
    return { stillMs: nowMs - this.#movedAt, blocked }
  }

  /** The answer has ended, and nobody looks any more: what waits has so long to leave. */
  end(clock: Clock): void {
    const response = this.#response
    if (response.destroyed || (response.socket?.writableLength ?? 0) === 0) return
    response.once(
      'close',
      clock.after(STALLED_MS, () => response.destroy()),
    )
  }
}
