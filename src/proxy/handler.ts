import type { IncomingMessage, ServerResponse } from 'node:http'
import { ENGINES_WITH } from '../engines/index.ts'
import { errorAnswer } from '../errors/answer.ts'
import type { Asked, ProxyDeps } from './deps.ts'
import { Exchange, Watch } from './exchange.ts'
import { isUnseen } from './request/form.ts'
import { errorWordsOf, type Lane } from '../api/index.ts'
import { responseIdOf } from '../api/responses.ts'
import type { Handed } from '../core/exchange/exchange.ts'
import type { ScannedBody } from './request/scan.ts'
import { freeBody, readByLane, type Refusal } from './request/body.ts'
import { watchUpload } from './request/upload.ts'

/** The table learns at most this often that clients are active, ms. */
const ACTIVE_EVERY_MS = 1_000

/** The data plane: takes over every request that has a lane and answers it whatever happens. */
export class Proxy {
  readonly #deps: ProxyDeps
  readonly #watch: Watch
  /** Every request from its head to its end. */
  readonly #taken = new Set<Taken>()
  #toldActiveAt = Number.NEGATIVE_INFINITY
  #draining = false
  #idle = (): void => {}

  constructor(deps: ProxyDeps) {
    this.#deps = deps
    this.#watch = new Watch(deps)
  }

  /** Takes a request over. Never throws: a bug of ours destroys the socket and is reported. */
  handle(request: IncomingMessage, response: ServerResponse, handed: Handed, lane: Lane): void {
    this.#serve(request, response, handed, lane).catch((error: unknown) => {
      response.destroy()
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
      this.#deps.emit({ type: 'bug', where: 'exchange', message })
    })
  }

  /** Refuses new requests; resolves when those whose head is here have ended, or after `limitMs`. */
  async drain(limitMs: number): Promise<void> {
    this.#draining = true
    if (this.#taken.size > 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#idle = resolve
      const cancel = this.#deps.clock.after(limitMs, resolve)
      await promise
      cancel()
    }
    for (const { exchange, refuse } of this.#taken) {
      if (exchange === null) refuse()
      else exchange.end('gate_draining')
    }
    this.#watch.close()
  }

  async #serve(
    request: IncomingMessage,
    response: ServerResponse,
    handed: Handed,
    lane: Lane,
  ): Promise<void> {
    const arrivedAt = this.#deps.clock.nowMs()
    const method = request.method ?? ''
    if (this.#draining) return this.#refuse(response, handed, { code: 'gate_draining' })
    this.#tellActive(arrivedAt)
    const settings = this.#deps.config.now
    const { buffered, clock } = this.#deps
    const { bodyMaxBytes: maxBytes } = settings
    const held = buffered.begin(request.socket.remoteAddress ?? '', maxBytes)
    const refuse = (): void =>
      this.#refuse(response, handed, { code: 'gate_draining', close: true })
    const taken: Taken = { exchange: null, refuse }
    this.#taken.add(taken)
    try {
      const read = await readByLane(request, lane, { maxBytes, clock, held })
      // It may have been refused meanwhile, at the end of a drain.
      if (read === null || response.writableEnded) return
      if ('code' in read) return this.#refuse(response, handed, read)
      const only = this.#keeper(method, handed.path, lane, read.scan)
      if (only === undefined) return this.#refuse(response, handed, { code: 'response_not_found' })
      const asked: Asked = {
        ...handed,
        ...read,
        method,
        lane,
        headers: request.headers,
        bodySent: () => {
          if (freeBody(read.body)) buffered.give(held)
        },
        only,
        settings,
        arrivedAt,
      }
      await this.#exchange(asked, response, taken)
    } finally {
      buffered.give(held)
      this.#taken.delete(taken)
      if (this.#taken.size === 0) this.#idle()
    }
  }

  /** The upstream that keeps what the request refers to; null: it refers to nothing; undefined:
   *  nobody keeps it any more. */
  #keeper(method: string, path: string, lane: Lane, scan: ScannedBody): string | null | undefined {
    const id =
      lane.path === null ? responseIdOf(method, path) : lane.api?.id ? scan.previousId : null
    if (id === null) return null
    const { entries } = this.#deps.store.current
    const keeper = this.#deps.sticky.find(id)
    // Where one upstream alone can have it, it is asked, also for what was made before this gate
    // ran.
    const able = entries.filter(({ spec }) => ABLE?.has(spec.engine))
    if (keeper === null && able.length === 1) return able[0]?.spec.name
    return entries.some(({ spec }) => spec.name === keeper) ? (keeper ?? undefined) : undefined
  }

  async #exchange(asked: Asked, response: ServerResponse, taken: Taken): Promise<void> {
    const exchange = new Exchange(this.#deps, asked, response)
    taken.exchange = exchange
    this.#watch.add(exchange)
    const { upload, form, requestId, path } = asked
    if (form !== null) {
      form.scan.onFault = ({ code, detail }) => exchange.end(code, detail)
      if (isUnseen(form)) this.#deps.emit({ type: 'model_unseen', requestId, path })
    }
    const stop =
      upload && watchUpload(upload, this.#deps.clock, () => exchange.end('request_timeout'))
    try {
      await exchange.run()
    } finally {
      stop?.()
      this.#watch.remove(exchange)
    }
  }

  #refuse(response: ServerResponse, handed: Handed, what: Refusal): void {
    const { requestId, path } = handed
    const { code, detail = '', param = null, close = false } = what
    const headers = close ? { connection: 'close' } : {}
    const about = { requestId, words: errorWordsOf(path), detail, param, headers }
    this.#deps.send(response, handed, errorAnswer(code, about))
  }

  #tellActive(nowMs: number): void {
    if (nowMs - this.#toldActiveAt < ACTIVE_EVERY_MS) return
    this.#toldActiveAt = nowMs
    this.#deps.store.apply({ type: 'client_active', at: nowMs })
  }
}

/** One request that the gate has taken over. */
interface Taken {
  /** Null: its body is still on its way. */
  exchange: Exchange | null
  /** Answers it while it has no exchange. */
  readonly refuse: () => void
}

/** Who may keep a response. */
const ABLE = ENGINES_WITH.get('responses')
