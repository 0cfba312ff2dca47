import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { type Answer, errorAnswer, plainAnswer } from '../errors/answer.ts'
import type { ErrorCode } from '../errors/catalogue.ts'
import { clientErrorCode, refuseRaw } from './client-error.ts'
import { Connections } from './connections.ts'
import { HEADERS_MAX, PIPELINED_MAX } from './limits.ts'
import type { Call, Handed, ServerParts } from './parts.ts'
import { lost, type Route } from './routes.ts'
import { matches, pathOf } from './target.ts'

/**
 * Everything between the router and the rooms behind it, on Node's own request and response:
 * every request passes `admit` first, and every answer of the gate's own leaves by `#send`.
 */
export class Front {
  readonly connections: Connections
  readonly #parts: ServerParts
  readonly #admitted = new WeakMap<IncomingMessage, Handed>()
  readonly #refused = new WeakSet<Socket>()
  readonly #upgrading = new WeakSet<IncomingMessage>()

  constructor(parts: ServerParts) {
    this.#parts = parts
    this.connections = new Connections(parts.clock, parts.connectionsMax)
  }

  /**
   * May this connection become a WebSocket? Asked while Node still has it in hand: whatever is
   * refused goes on as an ordinary request, and is answered by `admit` like any other.
   */
  mayUpgrade(request: IncomingMessage): boolean {
    const { guard, upgrades } = this.#parts
    if (upgrades === undefined || request.rawHeaders.length > 2 * HEADERS_MAX) return false
    const verdict = guard(request)
    if (!verdict.ok || verdict.upgrade !== true) return false
    if (upgrades.refusal('') !== null) return false
    this.#upgrading.add(request)
    return true
  }

  /** Watches the connections of `server`. Those beyond the cap are told, and closed. */
  watch(server: Server): void {
    this.connections.watch(server, (socket) => {
      const requestId = randomUUID()
      const answer = errorAnswer('too_many_connections', { requestId })
      this.#refused.add(socket)
      this.#told(answer, requestId, '-')
      return answer
    })
  }

  /** Runs the guards; false: the request has been answered, or never will be. `route` is the router's pattern. */
  admit(call: Call, route: string | undefined): boolean {
    const { request, response, requestId } = call
    const underWay = this.connections.begin(request, response)
    const { socket } = request
    const isRefused = this.#refused.has(socket)
    if (isRefused || underWay > PIPELINED_MAX) {
      // Not at once: Node resumes it after each request that it has read.
      queueMicrotask(() => socket.pause())
      this.#refused.add(socket)
      // The last answer is on its way already: what still comes is not looked at.
      return isRefused ? false : this.#refuse(call, 'too_many_pipelined', CLOSE)
    }
    const tooMany = request.rawHeaders.length > 2 * HEADERS_MAX
    if (tooMany) return this.#refuse(call, 'headers_too_large')
    if (request.httpVersion === '1.1' && request.headers.host === undefined) {
      return this.#refuse(call, 'bad_framing', { detail: 'There is no Host header.' })
    }
    const verdict = this.#parts.guard(request)
    if (!verdict.ok) return this.#refuse(call, verdict.code, verdict)
    const { path, query, cors } = verdict
    const handed = { requestId, path, query, cors }
    this.#admitted.set(request, handed)
    if (verdict.upgrade === true && !this.#upgrading.has(request)) {
      const refusal = this.#parts.upgrades?.refusal(requestId)
      if (refusal === null || refusal === undefined)
        return this.#refuse(call, 'upgrade_not_supported', CLOSE)
      this.#send(call, { ...refusal, headers: { ...refusal.headers, ...CLOSE.headers } })
      return false
    }
    if (request.method === 'OPTIONS' && (request.url === '*' || hasAny(cors))) {
      this.#send(call, noContent(requestId))
      return false
    }
    // The router decodes what the guards may have taken literally: `/%6detrics`.
    if (route !== undefined && !matches(route, path)) {
      this.#send(call, lost(handed))
      return false
    }
    return true
  }

  /** Answers at a route of the gate's own. */
  async own(call: Call, route: Route): Promise<void> {
    const { method } = call.request
    if (method !== 'GET' && method !== 'HEAD') {
      this.#refuse(call, 'method_not_allowed', { headers: { allow: 'GET, HEAD' } })
      return
    }
    try {
      this.#send(call, await route(this.#handed(call), this.#parts))
    } catch (error) {
      this.failed(call, error)
    }
  }

  /** Hands a request over to the data plane. */
  forward(call: Call): void {
    try {
      const done = this.#parts.proxy(call.request, call.response, this.#handed(call))
      if (done !== undefined) done.catch((error: unknown) => this.failed(call, error))
    } catch (error) {
      this.failed(call, error)
    }
  }

  /** Answers where there is no route. */
  lost(call: Call): void {
    this.#send(call, lost(this.#handed(call)))
  }

  /** Answers a path that the router cannot read; the guards come first here, too. */
  refusePath(call: Call): void {
    if (this.admit(call, undefined)) this.#refuse(call, 'bad_path')
  }

  /** Answers `Expect` with anything but 100-continue. */
  refuseExpectation(call: Call): void {
    if (this.admit(call, undefined)) this.#refuse(call, 'expectation_failed')
  }

  /** Answers bytes that are no HTTP request. Further ones on that connection are ignored. */
  refuseBytes(socket: Socket, error: { readonly code?: string | undefined }): void {
    const code = clientErrorCode(error)
    if (code === null) return void socket.destroy()
    this.#refuseSocket(socket, code)
  }

  /** Answers `CONNECT`: this is no forward proxy. */
  refuseTunnel(socket: Socket): void {
    this.#refuseSocket(socket, 'method_not_allowed', { allow: 'GET, HEAD, POST' })
  }

  /** Ends a call that failed by a bug of ours: nothing of the error reaches the client. */
  failed(call: Call, error: unknown): void {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#parts.emit({ type: 'bug', where: 'server', message })
    // Part of another answer may be out, which nothing can mend.
    if (call.response.headersSent) call.response.destroy()
    else this.#refuse(call, 'internal_error')
  }

  #refuse(call: Call, code: ErrorCode, details: Omit<RefusalDetails, 'requestId'> = {}): false {
    const { detail = '', param = null, headers = {} } = details
    const { requestId } = call
    const path = this.#pathOf(call)
    this.#send(call, errorAnswer(code, { requestId, path, detail, param, headers }))
    return false
  }

  #refuseSocket(socket: Socket, code: ErrorCode, headers: Record<string, string> = {}): void {
    if (this.#refused.has(socket)) return
    this.#refused.add(socket)
    const requestId = randomUUID()
    const answer = errorAnswer(code, { requestId, headers })
    if (refuseRaw(socket, this.connections, answer)) this.#told(answer, requestId, '-')
  }

  #send(call: Call, answer: Answer): void {
    const { request, response, requestId } = call
    const handed = this.#admitted.get(request)
    response.writeHead(answer.status, { ...answer.headers, ...handed?.cors })
    response.end(answer.body)
    this.#told(answer, requestId, this.#pathOf(call))
  }

  /** What the guards refused has no canonical path: the raw one, never its query. */
  #pathOf({ request }: Call): string {
    return this.#admitted.get(request)?.path ?? (pathOf(request.url ?? '') || '-')
  }

  #told(answer: Answer, requestId: string, path: string): void {
    const { status, code } = answer
    if (code !== null) this.#parts.emit({ type: 'refused', requestId, path, status, code })
  }

  #handed({ request, requestId }: Call): Handed {
    return this.#admitted.get(request) ?? { requestId, path: '-', query: '', cors: {} }
  }
}

/** Who asked for a socket may have sent frames already. */
const CLOSE = { headers: { connection: 'close' } }

interface RefusalDetails {
  readonly detail?: string
  readonly param?: string | null
  readonly headers?: Readonly<Record<string, string>>
}

function hasAny(cors: Readonly<Record<string, string>>): boolean {
  return Object.keys(cors).length > 0
}

function noContent(requestId: string): Answer {
  const empty = plainAnswer(204, { type: 'text/plain', body: '' }, requestId)
  // RFC 9110 §8.6: a 204 has neither.
  const { 'content-length': _length, 'content-type': _type, ...headers } = empty.headers
  return { ...empty, headers }
}
