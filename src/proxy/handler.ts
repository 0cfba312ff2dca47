import type { IncomingMessage, ServerResponse } from 'node:http'
import { errorAnswer } from '../errors/answer.ts'
import type { ErrorCode } from '../errors/catalogue.ts'
import { readBody } from './body.ts'
import type { Asked, ProxyDeps } from './deps.ts'
import { Exchange } from './exchange.ts'
import { viaOf } from './headers.ts'
import { type Lane, laneOf, LANES, methodsOf } from './lanes.ts'
import { scanBody } from './scan.ts'
import { Watch } from './watch.ts'

/** What the server has read of a request before it hands it over. */
export interface Handed {
  readonly requestId: string
  /** Canonical; guards and forwarder share it. */
  readonly path: string
  /** With its question mark, or ''. */
  readonly query: string
  /** CORS headers for an allowed origin; empty otherwise. */
  readonly cors: Readonly<Record<string, string>>
}

/** The table learns at most this often that clients are active, ms. */
const ACTIVE_EVERY_MS = 1_000

/** The data plane: takes over every `/v1` request and answers it whatever happens. */
export class Proxy {
  readonly #deps: ProxyDeps
  readonly #watch: Watch
  readonly #running = new Set<Exchange>()
  #toldActiveAt = Number.NEGATIVE_INFINITY
  #draining = false
  #idle = (): void => {}

  constructor(deps: ProxyDeps) {
    this.#deps = deps
    this.#watch = new Watch(deps)
  }

  /** Takes a request over. Never throws: a bug of ours destroys the socket and is reported. */
  handle(request: IncomingMessage, response: ServerResponse, handed: Handed): void {
    this.#serve(request, response, handed).catch((error: unknown) => {
      response.destroy()
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
      this.#deps.emit({ type: 'bug', where: 'exchange', message })
    })
  }

  /** Refuses new requests; resolves when the running ones have ended, or after `limitMs`. */
  async drain(limitMs: number): Promise<void> {
    this.#draining = true
    if (this.#running.size > 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#idle = resolve
      const cancel = this.#deps.clock.after(limitMs, resolve)
      await promise
      cancel()
    }
    for (const exchange of this.#running) exchange.shutdown()
    this.#watch.close()
  }

  async #serve(request: IncomingMessage, response: ServerResponse, handed: Handed): Promise<void> {
    const arrivedAt = this.#deps.clock.nowMs()
    const lane = laneOf(request.method ?? '', handed.path)
    if (lane === null) return this.#refuseRoute(response, handed)
    if (this.#draining) return this.#refuse(response, handed, { code: 'gate_draining' })
    this.#tellActive(arrivedAt)
    const settings = this.#deps.settings()
    const body = await readBody(request, {
      maxBytes: settings.bodyMaxBytes,
      clock: this.#deps.clock,
    })
    if (!body.ok) {
      if (body.code !== null) this.#refuse(response, handed, { code: body.code, close: true })
      return
    }
    const scan = scanBody(body.bytes)
    if (!scan.ok) return this.#refuse(response, handed, { code: scan.code, param: scan.param })
    const { headers } = request
    const via = viaOf(headers.via, this.#deps.instanceId).value
    await this.#exchange(
      { ...handed, lane, headers, via, body: body.bytes, scan, settings, arrivedAt },
      response,
    )
  }

  async #exchange(asked: Asked, response: ServerResponse): Promise<void> {
    const exchange = new Exchange(this.#deps, asked, response)
    this.#running.add(exchange)
    this.#watch.add(exchange)
    try {
      await exchange.run()
    } finally {
      this.#running.delete(exchange)
      this.#watch.remove(exchange)
      if (this.#running.size === 0) this.#idle()
    }
  }

  /** The routes are few: name them. */
  #refuseRoute(response: ServerResponse, handed: Handed): void {
    const methods = methodsOf(handed.path)
    if (methods.length > 0) {
      const allow = methods.join(', ')
      const detail = `Use ${allow}.`
      return this.#refuse(response, handed, {
        code: 'method_not_allowed',
        detail,
        headers: { allow },
      })
    }
    const known = LANES.map((lane: Lane) => `${lane.method} ${lane.path}`).join(', ')
    const detail = `This gate serves ${known}, GET /v1/models.`
    this.#refuse(response, handed, { code: 'not_found', detail })
  }

  #refuse(response: ServerResponse, handed: Handed, what: Refusal): void {
    const { requestId, cors } = handed
    const close = what.close === true ? { connection: 'close' } : {}
    const answer = errorAnswer(what.code, {
      requestId,
      detail: what.detail ?? '',
      param: what.param ?? null,
      headers: { ...cors, ...what.headers, ...close },
    })
    response.writeHead(answer.status, answer.headers)
    response.end(answer.body)
    this.#deps.emit({
      type: 'refused',
      requestId,
      path: handed.path,
      status: answer.status,
      code: what.code,
    })
  }

  #tellActive(nowMs: number): void {
    if (nowMs - this.#toldActiveAt < ACTIVE_EVERY_MS) return
    this.#toldActiveAt = nowMs
    this.#deps.store.apply({ type: 'client_active', at: nowMs })
  }
}

interface Refusal {
  readonly code: ErrorCode
  readonly detail?: string
  readonly param?: string | null
  /** The rest of the body was not read: the connection cannot be used again. */
  readonly close?: boolean
  readonly headers?: Readonly<Record<string, string>>
}
