import type { ServerResponse } from 'node:http'
import type { Clock } from '../../runtime/clock.ts'

/**
 * A client that takes nothing for this long while bytes wait for it is cut off, ms. Generous: the
 * system tells of room in lumps of a megabyte, and who reads 4 kB a second is still alive.
 */
export const STALLED_MS = 300_000

/** What has moved towards a client. */
export interface Flow {
  /** For how long nothing has been written, and nothing that waited has left, ms. */
  readonly stillMs: number
  /** Is it the client that takes no more? */
  readonly blocked: boolean
}

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
