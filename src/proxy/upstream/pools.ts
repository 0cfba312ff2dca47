import type { Socket } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { buildConnector, Client, type Dispatcher } from 'undici'
import type { Clock } from '../../runtime/clock.ts'

/** How to reach one upstream. The only place of the data plane that knows a key. */
export interface Target {
  readonly name: string
  /** Base URL without `/v1`. */
  readonly url: string
  /** Value of the Authorization header, or null. */
  readonly authorization: string | null
  readonly connectTimeoutMs: number
}

/** For `take`: none that was used before. */
export const FRESH = -1

/** Engines close an idle connection after 5 s (uvicorn, cpp-httplib): be sooner. */
const IDLE_MS_MAX = 4_000
/** Silence after which the system asks whether the upstream's host is still there. */
const KEEP_ALIVE_MS = 15_000
/** Idle connections kept per upstream. */
const FREE_MAX = 256

/** One connection, used by one request at a time. */
export class Connection {
  readonly client: Client
  /** Has it carried a request to its end? */
  served = false
  connected = false
  freedAt = 0
  /** When the last byte of the request was given to the kernel; null: some are left. */
  flushedAt: number | null = null
  #socket: Socket | null = null
  readonly #nowMs: () => number

  constructor(target: Target, nowMs: () => number) {
    this.#nowMs = nowMs
    this.client = openClient(target, (socket) => {
      this.#socket = socket
      socket.on('drain', () => {
        this.flushedAt = nowMs()
      })
    })
    this.client.on('connect', () => {
      this.connected = true
      this.served = false
    })
    this.client.on('disconnect', () => {
      this.connected = false
    })
    // A connection that fails while nobody uses it is replaced by the next request.
    this.client.on('connectionError', () => {})
  }

  /** Has this socket carried a request before? Then it may be stale. */
  get reused(): boolean {
    return this.connected && this.served
  }

  /** Has all that was written to it been given to the kernel? An answer that comes before all of the
   *  request was sent leaves the rest in the way. */
  readonly flushed = (): boolean => (this.#socket?.writableLength ?? 0) === 0

  /** To be called when a request has been handed to it. */
  noteSent(): void {
    // Only a socket that wants to drain will tell.
    this.flushedAt = this.#socket?.writableNeedDrain === true ? null : this.#nowMs()
  }

  /** Its running request, if any, ends in `onResponseError`; nothing else is to be told. */
  destroy(): void {
    this.client.destroy().catch(() => {})
  }
}

/**
 * The connections of one upstream: a free list, last in first out, of clients with one socket each.
 * undici's `Pool` walks its list for a free client, which costs more with every open stream
 * (measured: 1.6 to 2 times at 4,000 streams); a free list does not.
 */
export class Pool {
  readonly target: Target
  /** The path of the base URL without its trailing slash: '' or `/engine`. */
  readonly basePath: string
  readonly #free: Connection[] = []
  readonly #used = new Set<Connection>()
  /** Used ones whose answer has ended, and whose body has not. */
  readonly #settling = new Set<Connection>()
  #closed = false
  readonly #nowMs: () => number

  constructor(target: Target, nowMs: () => number) {
    this.target = target
    this.basePath = new URL(target.url).pathname.replace(/\/$/, '')
    this.#nowMs = nowMs
  }

  /** Connections that are open or about to be. */
  get size(): number {
    return this.#free.length + this.#used.size
  }

  /** A connection for one request, that has been idle for so long at most. */
  take(idleMsMax = IDLE_MS_MAX): Connection {
    const last = this.#free.at(-1)
    const young = last !== undefined && this.#nowMs() - last.freedAt <= idleMsMax
    const one = (young ? this.#free.pop() : undefined) ?? new Connection(this.target, this.#nowMs)
    this.#used.add(one)
    return one
  }

  /** Gives back a connection whose request ended cleanly. */
  give(one: Connection): void {
    if (!this.#release(one)) return
    one.served = true
    one.freedAt = this.#nowMs()
    if (this.#closed || !one.flushed() || this.#free.length >= FREE_MAX) one.destroy()
    else this.#free.push(one)
    this.#prune()
  }

  /** Notes that the answer on a connection has ended and that it will soon be given or dropped. */
  settle(one: Connection): void {
    if (!this.#used.has(one)) return
    if (this.#closed) this.drop(one)
    else this.#settling.add(one)
  }

  /** Closes a connection that broke or whose request was given up: the upstream sees it end. */
  drop(one: Connection): void {
    if (this.#release(one)) one.destroy()
  }

  /** Closes idle connections now, and used ones as they are given back. */
  close(): void {
    this.#closed = true
    for (const one of this.#settling) this.drop(one)
    for (const one of this.#free.splice(0)) one.destroy()
  }

  /** False: it has been released before. */
  #release(one: Connection): boolean {
    this.#settling.delete(one)
    return this.#used.delete(one)
  }

  /** The bottom of the list has been idle for longest. */
  #prune(): void {
    const before = this.#nowMs() - IDLE_MS_MAX
    while ((this.#free[0]?.freedAt ?? before) < before) this.#free.shift()?.destroy()
  }
}

/** Every option is said: the library's defaults are made for other traffic. */
function openClient(target: Target, onSocket: (socket: Socket) => void): Client {
  const connect = buildConnector({
    allowH2: false,
    timeout: target.connectTimeoutMs,
    rejectUnauthorized: true,
    // `localhost` may be ::1 or 127.0.0.1: try both.
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: 250,
    // A host that vanishes in the middle of a stream says nothing: after this silence the system
    // asks, ten times a second apart (libuv), and the stream ends after 25 s instead of never.
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  })
  return new Client(new URL(target.url).origin, {
    // Local engines speak HTTP/1.1; undici would offer HTTP/2 over TLS (undici issue 5381).
    allowH2: false,
    // One request a connection: nothing waits behind a stream, no answer can be mixed up.
    pipelining: 1,
    // Long prefills and slow streams are judged by evidence, never by the library's 300 s.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: IDLE_MS_MAX,
    keepAliveMaxTimeout: IDLE_MS_MAX,
    keepAliveTimeoutThreshold: 500,
    // vLLM may send many headers; beyond this the answer is a protocol error.
    maxHeaderSize: 64 * 1024,
    maxResponseSize: -1,
    strictContentLength: true,
    connect: (options, done) =>
      connect(options, (...result) => {
        // On a failure it is undefined, whatever its type says.
        if (result[1] != null) onSocket(result[1])
        done(...result)
      }),
  })
}

/** All pools by upstream name, following the configuration. */
export class Pools {
  readonly #pools = new Map<string, Pool>()
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** Opens, replaces and closes pools so that they match; running requests keep their connection. */
  sync(targets: readonly Target[]): void {
    for (const [name, pool] of this.#pools) {
      const target = targets.find((candidate) => candidate.name === name)
      if (target !== undefined && isDeepStrictEqual(target, pool.target)) continue
      pool.close()
      this.#pools.delete(name)
    }
    for (const target of targets) {
      if (!this.#pools.has(target.name)) {
        this.#pools.set(target.name, new Pool(target, this.#nowMs))
      }
    }
  }

  get(name: string): Pool | undefined {
    return this.#pools.get(name)
  }

  close(): void {
    this.sync([])
  }
}

/** An engine may take so long to end the body of an answer that has ended; then it is closed. */
const SETTLE_MS = 1_000
/** A used connection that dies within this after the last byte of the request, ms, had died before: a
 *  round trip, and no time to begin the work. */
const AT_ONCE_MS = 50
/** Idle for longer, it may be about to be closed: not for what can be sent only once. */
const FRESH_MS = 1_000

/** The connection of one attempt: taken, replaced once at most, and given back or closed once. */
export class Hop {
  readonly #pool: Pool
  readonly #clock: Clock
  #connection: Connection
  /** Had the connection carried a request before this dispatch? */
  #reused = false
  /** Has the answer ended, while the body that carried it is still open? */
  #settling = false
  #cancelTimer = (): void => {}

  /** `once`: what is sent cannot be sent again. */
  constructor(pool: Pool, clock: Clock, once: boolean) {
    this.#pool = pool
    this.#clock = clock
    this.#connection = once ? pool.take(FRESH_MS) : pool.take()
  }

  /** Is all that was written out of this process? */
  get flushed(): () => boolean {
    return this.#connection.flushed
  }

  /** May the upstream have all of what was sent? */
  get seen(): boolean {
    return this.#connection.flushedAt !== null
  }

  /** Was it too late already when the request was sent on this connection, which has broken? */
  get diedBefore(): boolean {
    const at = this.#connection.flushedAt
    return this.#reused && (at === null || this.#clock.nowMs() - at <= AT_ONCE_MS)
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#reused = this.#connection.reused
    this.#connection.client.dispatch(options, handler)
    this.#connection.noteSent()
  }

  /** Takes a fresh connection in place of one that broke. */
  replace(): void {
    this.#pool.drop(this.#connection)
    this.#connection = this.#pool.take(FRESH)
  }

  /** `open`: the answer has ended, its body has not yet. Only a clean connection is used again. */
  end(how: 'clean' | 'open' | 'broken'): void {
    if (how === 'clean') return this.#pool.give(this.#connection)
    if (how === 'broken') return this.#pool.drop(this.#connection)
    this.#settling = true
    this.#pool.settle(this.#connection)
    this.#cancelTimer = this.#clock.after(SETTLE_MS, () => this.settle(false))
  }

  /** The body of an answer that had ended before has ended, too, or never will. */
  settle(clean: boolean): void {
    if (!this.#settling) return
    this.#settling = false
    this.#cancelTimer()
    if (clean) this.#pool.give(this.#connection)
    else this.#pool.drop(this.#connection)
  }
}
