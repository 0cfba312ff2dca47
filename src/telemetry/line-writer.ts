import { write } from 'node:fs'
import type { Clock } from '../runtime/clock.ts'

/** Where text goes. `done` is called exactly once, never before `write` has returned. */
export interface Sink {
  write(text: string, done: (error: Error | null) => void): void
}

/** Lines that may wait for a blocked reader; beyond them new ones are dropped and counted. */
export const WAITING_LINES_MAX = 1_000
/** Two writes begin at least this far apart, ms: a line leaves at once when none did lately, and
 *  under load those of some milliseconds leave together. A write costs as much as ten lines. */
const APART_MS = 10
/** How long `close` waits for a reader before it gives up the rest. */
const CLOSE_MS_MAX = 500

/**
 * Writes lines without ever blocking the event loop: one write under way, and what comes meanwhile,
 * or shortly after, goes with the next one. A reader that stops costs lines, which are counted, never a request.
 */
export class LineWriter {
  readonly #sink: Sink
  readonly #clock: Pick<Clock, 'after'>
  readonly #droppedLine: (count: number) => string
  #waiting: string[] = []
  #dropped = 0
  #writing = false
  /** The end of the pause after a write began; null: it is over. */
  #cancelPause: (() => void) | null = null
  #closing = false
  #onIdle: (() => void) | null = null

  /** `droppedLine` words the report on lines that were lost. */
  constructor(sink: Sink, clock: Pick<Clock, 'after'>, droppedLine: (count: number) => string) {
    this.#sink = sink
    this.#clock = clock
    this.#droppedLine = droppedLine
  }

  write(line: string): void {
    if (this.#waiting.length >= WAITING_LINES_MAX) this.#dropped += 1
    else this.#waiting.push(line)
    this.#pump()
  }

  /** Resolves when everything is written, or when the reader has had its time. */
  close(): Promise<void> {
    this.#closing = true
    this.#endPause()
    if (!this.#writing) return Promise.resolve()
    return new Promise((resolve) => {
      const cancel = this.#clock.after(CLOSE_MS_MAX, resolve)
      this.#onIdle = () => {
        cancel()
        resolve()
      }
    })
  }

  #endPause(): void {
    this.#cancelPause?.()
    this.#cancelPause = null
    this.#pump()
  }

  #pump(): void {
    if (this.#writing || this.#cancelPause !== null) return
    if (this.#waiting.length === 0) {
      this.#onIdle?.()
      return
    }
    const lines = this.#waiting
    const dropped = this.#dropped
    this.#waiting = []
    this.#dropped = 0
    if (dropped > 0) lines.push(this.#droppedLine(dropped))
    this.#writing = true
    if (!this.#closing) this.#cancelPause = this.#clock.after(APART_MS, () => this.#endPause())
    this.#sink.write(lines.join(''), (error) => {
      this.#writing = false
      // A reader that is gone may be replaced (a log daemon restarts): the next batch tries again.
      if (error !== null) this.#dropped += lines.length
      this.#pump()
    })
  }
}

/** A descriptor that was made non-blocking by somebody else is asked again after this. */
const AGAIN_MS = 20

/**
 * A sink for a file descriptor, on libuv's thread pool. `process.stdout.write` would not do: on
 * pipes and terminals it blocks the process until the reader has room (Node documentation,
 * "A note on process I/O").
 */
export function descriptorSink(descriptor: number, clock: Pick<Clock, 'after'>): Sink {
  return {
    write(text, done) {
      const bytes = Buffer.from(text)
      const writeFrom = (offset: number): void => {
        write(descriptor, bytes, offset, bytes.length - offset, null, (error, written) => {
          if (error?.code === 'EAGAIN') clock.after(AGAIN_MS, () => writeFrom(offset))
          else if (error !== null) done(error)
          else if (offset + written < bytes.length) writeFrom(offset + written)
          else done(null)
        })
      }
      writeFrom(0)
    },
  }
}
