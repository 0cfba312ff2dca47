import { readFileSync } from 'node:fs'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Answer } from '../errors/answer.ts'
import type { ErrorCode } from '../errors/catalogue.ts'
import type { Clock } from '../runtime/clock.ts'
import { rawAnswer } from './own-answer.ts'

/** Headers of one request; more are refused. Node's own limit drops the rest without a word. */
export const HEADERS_MAX = 256

/** Requests on one connection that may wait for their answers; one more is refused, and closes it.
 *  All of them run at once, and hardly any client sends a second one before it has read the first. */
export const PIPELINED_MAX = 16

/** Of those that are turned away, so many at once are told why; the rest are closed without a word:
 *  to tell takes a file descriptor for a moment. */
const TURNED_AWAY_MAX = 100

/** Descriptors that new clients may not have: upstreams, files, and those who are told need some. */
const DESCRIPTORS_KEPT = 24

/** A client that was answered before its body was whole may finish sending within this. */
const LINGER_MS = 2_000

/** Settings that may change while it is open. */
export interface DoorSettings {
  /** Client connections at once. Lowering it closes none. */
  readonly connectionsMax: number
}

/**
 * Which connection has which answers under way. Closing needs it: Node's own `server.close()`
 * leaves a keep-alive connection open when its last answer ends later (8 s and more),
 * destroys one whose answer has ended but not reached the client, and waits for ever for one that
 * has sent half a request head.
 */
export class Connections {
  readonly #clock: Pick<Clock, 'after'>
  readonly #answers = new Map<Socket, Set<ServerResponse>>()
  readonly #config: { readonly now: DoorSettings }
  readonly #turnedAway = new Set<Socket>()
  readonly #descriptors = descriptorsMax()
  #closing = false

  constructor(clock: Pick<Clock, 'after'>, config: { readonly now: DoorSettings }) {
    this.#clock = clock
    this.#config = config
  }

  /** Watches every connection of `server` from now on. `full` is asked for the answer to one that
   *  is too many. */
  watch(server: Server, full: (socket: Socket) => Answer): void {
    server.on('connection', (socket: Socket) => {
      // Accepted between the decision to close and the end of listening.
      if (this.#closing) return void socket.destroy()
      const few = this.#areFew(socket)
      if (few || this.#answers.size >= this.#config.now.connectionsMax)
        return this.#turnAway(socket, full, few)
      this.#answers.set(socket, new Set())
      socket.once('close', () => this.#answers.delete(socket))
    })
    // Node calls this when it closes; `close` below does it with more care.
    server.closeIdleConnections = () => {}
  }

  /** An answer begins; says how many are under way on its connection, with this one. The connection
   *  is not reused once the gate closes. */
  begin(request: IncomingMessage, response: ServerResponse): number {
    const { socket } = request
    const answers = this.#answers.get(socket)
    answers?.add(response)
    if (this.#closing) response.setHeader('connection', 'close')
    // Node would destroy a connection with unread data at the end of the answer, which resets it
    // before the client has read: only our half is closed, and the rest lingers.
    response.on('prefinish', () => {
      if (request.complete) return
      socket.destroySoon = (): void => void socket.end()
      response.once('finish', () => {
        if (!request.complete) this.#linger(request, socket)
      })
    })
    response.on('close', () => {
      answers?.delete(response)
      if (this.#closing) this.#closeIfIdle(socket)
    })
    return answers?.size ?? 0
  }

  /**
   * Answers what cannot be read as HTTP, and closes. When an earlier answer is still under way on the connection,
   * it ends first: bytes of ours in the middle of it would corrupt it. Answers whether `answer` is or
   * will be sent.
   */
  refuse(socket: Socket, answer: Answer): boolean {
    if (!socket.writable) {
      socket.destroy()
      return false
    }
    const send = (): void => {
      if (!socket.writable) return
      socket.write(rawAnswer(answer))
      socket.destroySoon()
    }
    const earlier = [...(this.#answers.get(socket) ?? [])].at(-1)
    if (earlier === undefined) send()
    else if (earlier.req.complete) earlier.once('close', send)
    else if (earlier.headersSent) {
      // The broken body belongs to the request that is being answered: only a cut says so.
      socket.destroy()
      return false
    } else send()
    return true
  }

  /** Is an answer under way on this connection? */
  isBusy(socket: Socket): boolean {
    return (this.#answers.get(socket)?.size ?? 0) > 0
  }

  /** Lets running answers end and closes every other connection. */
  close(): void {
    this.#closing = true
    for (const socket of this.#answers.keys()) this.#closeIfIdle(socket)
  }

  #closeIfIdle(socket: Socket): void {
    if (this.#answers.get(socket)?.size === 0) socket.destroySoon()
  }

  /** Are descriptors running out? A new one has the lowest free number. Where none is left, the system
   *  closes clients before anybody here sees them. */
  #areFew(socket: Socket): boolean {
    const handle: unknown = Reflect.get(socket, '_handle')
    const number = typeof handle === 'object' && handle !== null && 'fd' in handle ? handle.fd : 0
    return Number(number) >= this.#descriptors - DESCRIPTORS_KEPT
  }

  /** Says why, unless that costs too much, and lets go of it once the client has had time to read:
   *  closed at once, with its request unread, it would be reset and the answer lost. */
  #turnAway(socket: Socket, full: (socket: Socket) => Answer, few: boolean): void {
    if (few && this.#turnedAway.size >= DESCRIPTORS_KEPT / 2) {
      // Who was told first has had the most time to read it.
      const [first] = this.#turnedAway
      first?.destroy()
      if (first !== undefined) this.#turnedAway.delete(first)
    }
    if (this.#turnedAway.size >= TURNED_AWAY_MAX) return void socket.destroy()
    this.#turnedAway.add(socket)
    socket.end(rawAnswer(full(socket)))
    const cancel = this.#clock.after(LINGER_MS, () => socket.destroy())
    socket.once('close', () => {
      cancel()
      this.#turnedAway.delete(socket)
    })
  }

  /** Node reads and drops the rest of such a body without limit; here it has one. */
  #linger(request: IncomingMessage, socket: Socket): void {
    const cancel = this.#clock.after(LINGER_MS, () => socket.destroy())
    const leave = (): void => {
      if (request.readableEnded || socket.destroyed) return cancel()
      // The forwarder has let go of a body whose answer came early, and has taken its socket from
      // it: nobody reads the rest, so no further request can come.
      socket.once('close', cancel)
      socket.end()
    }
    if (request.destroyed) leave()
    else request.once('close', leave)
  }
}

/** Which of our errors a failure of Node's HTTP parser is; null: the client is gone. Pure. */
export function clientErrorCode(error: { readonly code?: string | undefined }): ErrorCode | null {
  if (error.code === 'ECONNRESET' || error.code === 'EPIPE') return null
  if (error.code === 'HPE_HEADER_OVERFLOW') return 'headers_too_large'
  // The head did not arrive in time.
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'request_timeout'
  return 'bad_framing'
}

/** How many descriptors this process may have (`ulimit -n`); no limit where the system does not tell. */
function descriptorsMax(): number {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    return found === null ? Number.POSITIVE_INFINITY : Number(found[1])
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
