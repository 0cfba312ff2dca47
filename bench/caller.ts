import { connect, type Socket } from 'node:net'
import { AnswerCutter } from './wire.ts'

/** All sockets read into one buffer: what comes is looked at before the next read. */
const shared = Buffer.allocUnsafeSlow(256 * 1024)

/** A client with one connection that sends one request after the other. */
export class Caller {
  readonly cutter = new AnswerCutter()
  readonly socket: Socket
  errors = 0
  #stopping = false
  readonly #next: () => Buffer | null

  /** `next`: the request to send first and after each answer; null: none. */
  constructor(port: number, next: () => Buffer | null, onBytes: () => void = () => {}) {
    this.#next = next
    this.socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: shared,
        callback: (size, bytes) => {
          const before = this.cutter.ended
          this.cutter.push(Buffer.from(bytes.buffer, bytes.byteOffset, size))
          onBytes()
          if (this.cutter.ended !== before) this.#ended()
          return true
        },
      },
    })
    this.socket.once('connect', () => this.#send())
    this.socket.on('error', () => {})
    this.socket.once('close', () => {
      if (!this.#stopping) this.errors++
    })
  }

  stop(): void {
    this.#stopping = true
    if (!this.cutter.within) this.socket.destroy()
  }

  destroy(): void {
    this.#stopping = true
    this.socket.destroy()
  }

  #ended(): void {
    if (this.#stopping) this.socket.destroy()
    else this.#send()
  }

  #send(): void {
    const request = this.#next()
    if (request !== null) this.socket.write(request)
  }
}

/** On the monotonic clock that all processes of a machine share. */
export function nowNs(): number {
  return Number(process.hrtime.bigint())
}
