import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { allowOf, errorWordsOf, type Lane, laneOf } from '../api/index.ts'
import type { GateEvent } from '../core/event.ts'
import type { Handed } from '../core/exchange/exchange.ts'
import { type Answer, errorAnswer, type ErrorDetails } from '../errors/answer.ts'
import type { ErrorCode } from '../errors/catalogue.ts'
import type { Clock } from '../runtime/clock.ts'
import {
  clientErrorCode,
  Connections,
  type DoorSettings,
  HEADERS_MAX,
  PIPELINED_MAX,
} from './connections.ts'
import type { GuardResult } from './guards.ts'
import { lost, noContent, notAdmitted, type Send } from './own-answer.ts'

/** Answers a GET or HEAD of the gate's own; null: there is no such thing. Must not block. */
export type Route = (handed: Handed) => Answer | null | Promise<Answer | null>

/** What takes connections that become WebSockets. */
export interface Upgrades {
  /** Why a request that the guards let through gets no socket now; null: it gets one. */
  readonly refusal: (requestId: string) => Answer | null
  /** Takes over a request whose connection Node has let go of, and answers it whatever happens.
   *  `head`: what came behind the request. */
  readonly take: (
    request: IncomingMessage,
    response: ServerResponse,
    handed: Handed,
    head: Buffer,
  ) => void
  /** Tells every socket that the gate goes away; resolves within seconds, when all are closed. */
  readonly close: () => Promise<void>
  /** Destroys every socket. */
  readonly cut: () => void
}

/** What has the requests that are not the operator's. */
export interface Forwarder {
  /** Takes over a request with its unread body, and answers it whatever happens. Never throws. */
  handle(request: IncomingMessage, response: ServerResponse, handed: Handed, lane: Lane): void
}

/** The rooms behind the door, which the composition root injects. */
export interface DoorParts {
  readonly clock: Pick<Clock, 'after'>
  readonly emit: (event: GateEvent) => void
  readonly send: Send
  readonly config: { readonly now: DoorSettings }
  /** Runs for every request, before anything else looks at it. */
  readonly guard: (request: IncomingMessage) => GuardResult
  /** By canonical path; one that ends in `*` stands for all below it. */
  readonly routes: Readonly<Record<string, Route>>
  readonly proxy: Forwarder
  /** Absent: no connection becomes a WebSocket. */
  readonly upgrades?: Upgrades
}

/** What every request passes, on Node's own request and response; behind it, it is either the
 *  operator's or the proxy's, and never comes back. */
export class Door {
  readonly connections: Connections
  readonly #parts: DoorParts
  readonly #routes: ReadonlyMap<string, Route>
  readonly #below: readonly (readonly [prefix: string, route: Route])[]
  /** Whose last answer is on its way or out. */
  readonly #refused = new WeakSet<Socket>()
  /** What came behind the requests that Node has let go of, until somebody takes them. */
  readonly #heads = new WeakMap<IncomingMessage, Buffer>()

  constructor(parts: DoorParts) {
    this.#parts = parts
    this.connections = new Connections(parts.clock, parts.config)
    const routes = Object.entries(parts.routes)
    this.#routes = new Map(routes)
    this.#below = routes.flatMap(([path, route]) =>
      path.endsWith('*') ? [[path.slice(0, -1), route] as const] : [],
    )
  }

  /** Watches the connections of `server`. Those beyond the cap are told, and closed. */
  watch(server: Server): void {
    this.connections.watch(server, (socket) => {
      this.#refused.add(socket)
      const answer = errorAnswer('too_many_connections', { requestId: randomUUID() })
      this.#told(answer)
      return answer
    })
  }

  /** One request, from its head to the room that answers it. Never throws. `code`: the only answer
   *  that it can get, if the guards let it in at all. */
  serve(
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
    code: ErrorCode | null = null,
  ): void {
    let handed: Handed | null = null
    try {
      handed = this.#admit(request, response, requestId)
      if (handed === null) return
      if (code === null) this.#hand(request, response, handed)
      else this.#refuse(response, handed, code)
    } catch (error) {
      this.#failed(response, handed ?? notAdmitted(request, requestId), error)
    }
  }

  /**
   * May this connection become a WebSocket? Asked while Node still has it in hand: whatever is
   * refused goes on as an ordinary request, and is answered like any other.
   */
  mayUpgrade(request: IncomingMessage): boolean {
    const { guard, upgrades } = this.#parts
    if (upgrades === undefined || request.rawHeaders.length > 2 * HEADERS_MAX) return false
    // A connection that still belongs to an earlier answer cannot be given away.
    if (this.connections.isBusy(request.socket)) return false
    const verdict = guard(request)
    return verdict.ok && verdict.upgrade === true && upgrades.refusal('') === null
  }

  /** Node has let go of this connection, and will hand its request in within this turn. One that
   *  nobody takes over by then would stay open for ever. */
  upgraded(request: IncomingMessage, socket: Socket, head: Buffer): void {
    // Node has taken its own listener away: without one, a client's reset would end the process.
    socket.on('error', () => socket.destroy())
    this.#heads.set(request, head)
    queueMicrotask(() => {
      if (!this.#heads.delete(request)) return
      // What has been written, such as a refusal, still goes out.
      socket.once('finish', () => socket.destroy())
      socket.end()
    })
  }

  /** Answers bytes that are not an HTTP request. Further ones on that connection are ignored. */
  refuseBytes(socket: Socket, error: { readonly code?: string | undefined }): void {
    const code = clientErrorCode(error)
    if (code === null) socket.destroy()
    else this.#refuseSocket(socket, code)
  }

  /** Answers `CONNECT`: this is not a forward proxy. */
  refuseTunnel(socket: Socket): void {
    // Node has let go of the socket: an error that nobody hears would end the process.
    socket.on('error', () => socket.destroy())
    this.#refuseSocket(socket, 'method_not_allowed', { allow: 'GET, HEAD, POST' })
  }

  /** Null: the request has been answered, or never will be. */
  #admit(request: IncomingMessage, response: ServerResponse, requestId: string): Handed | null {
    const underWay = this.connections.begin(request, response)
    const { socket, rawHeaders } = request
    const isRefused = this.#refused.has(socket)
    if (isRefused || underWay > PIPELINED_MAX) {
      // Not at once: Node resumes it after each request that it has read.
      queueMicrotask(() => socket.pause())
      this.#refused.add(socket)
      // The last answer is on its way already: what still comes is not looked at.
      if (isRefused) return null
      return this.#refuse(response, notAdmitted(request, requestId), 'too_many_pipelined', CLOSE)
    }
    if (rawHeaders.length > 2 * HEADERS_MAX) {
      return this.#refuse(response, notAdmitted(request, requestId), 'headers_too_large')
    }
    const verdict = this.#parts.guard(request)
    if (!verdict.ok) {
      return this.#refuse(response, notAdmitted(request, requestId), verdict.code, verdict)
    }
    const { path, query, cors, via } = verdict
    const handed = { requestId, path, query, cors, via }
    if (verdict.upgrade === true) this.#takeUpgrade(request, response, handed)
    else if (request.method !== 'OPTIONS' || (path !== '*' && Object.keys(cors).length === 0))
      return handed
    else this.#parts.send(response, handed, noContent(requestId))
    return null
  }

  #takeUpgrade(request: IncomingMessage, response: ServerResponse, handed: Handed): void {
    const { upgrades, send } = this.#parts
    const head = this.#heads.get(request)
    if (upgrades !== undefined && head !== undefined) {
      upgrades.take(request, response, handed, head)
      this.#heads.delete(request)
      return
    }
    const refusal = upgrades?.refusal(handed.requestId)
    if (refusal === null || refusal === undefined) {
      this.#refuse(response, handed, 'upgrade_not_supported', CLOSE)
    } else send(response, handed, { ...refusal, headers: { ...refusal.headers, ...CLOSE.headers } })
  }

  /** To the operator's routes, or to the proxy. */
  #hand(request: IncomingMessage, response: ServerResponse, handed: Handed): void {
    const { method = '' } = request
    const { path } = handed
    const above = this.#below.find(([prefix]) => path.startsWith(prefix))
    const own = this.#routes.get(path) ?? above?.[1]
    if (own !== undefined) {
      if (method === 'GET' || method === 'HEAD') void this.#own(response, handed, own)
      else this.#refuse(response, handed, 'method_not_allowed', OWN_METHODS)
      return
    }
    const lane = laneOf(method, path)
    if (lane !== null) this.#parts.proxy.handle(request, response, handed, lane)
    else if (method === 'OPTIONS' && laneOf('POST', path) !== null) {
      this.#refuse(response, handed, 'method_not_allowed', { headers: { allow: allowOf(path) } })
    } else this.#parts.send(response, handed, lost(handed))
  }

  async #own(response: ServerResponse, handed: Handed, route: Route): Promise<void> {
    try {
      this.#parts.send(response, handed, (await route(handed)) ?? lost(handed))
    } catch (error) {
      this.#failed(response, handed, error)
    }
  }

  #refuse(
    response: ServerResponse,
    handed: Handed,
    code: ErrorCode,
    details: Omit<ErrorDetails, 'requestId' | 'words'> = {},
  ): null {
    const { requestId, path } = handed
    const answer = errorAnswer(code, { ...details, requestId, words: errorWordsOf(path) })
    this.#parts.send(response, handed, answer)
    return null
  }

  /** Ends a request that failed by a bug of ours: nothing of the error reaches the client. */
  #failed(response: ServerResponse, handed: Handed, error: unknown): void {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#parts.emit({ type: 'bug', where: 'server', message })
    // Part of another answer may be out, which nothing can mend.
    if (response.headersSent) response.destroy()
    else this.#refuse(response, handed, 'internal_error')
  }

  #refuseSocket(socket: Socket, code: ErrorCode, headers: Record<string, string> = {}): void {
    if (this.#refused.has(socket)) return
    this.#refused.add(socket)
    const answer = errorAnswer(code, { requestId: randomUUID(), headers })
    if (this.connections.refuse(socket, answer)) this.#told(answer)
  }

  /** Tells of an answer that has left as bytes. */
  #told({ status, code, headers }: Answer): void {
    const requestId = headers['x-request-id'] ?? ''
    if (code !== null) this.#parts.emit({ type: 'refused', requestId, path: '-', status, code })
  }
}

/** Who asked for a socket may have sent frames already. */
const CLOSE = { headers: { connection: 'close' } }
const OWN_METHODS = { headers: { allow: 'GET, HEAD' } }
