/** All request bodies together may hold this many times the limit of one. */
const BODIES_MAX = 4

/** Counts the bytes of all buffered bodies, so that many large requests at once cannot exhaust the
 *  memory: what does not fit is refused and may be tried again. */
export class Buffered {
  #bytes = 0

  /** Takes room for one more body; false: there is none. `maxBytes` is the limit of one body. */
  take(bytes: number, maxBytes: number): boolean {
    if (this.#bytes + bytes > BODIES_MAX * maxBytes) return false
    this.#bytes += bytes
    return true
  }

  give(bytes: number): void {
    this.#bytes -= bytes
  }
}
