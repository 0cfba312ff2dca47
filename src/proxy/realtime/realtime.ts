import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import httpProxy from '@fastify/http-proxy'
import type { Answer } from '../../errors/answer.ts'
import type { ProxyDeps } from '../deps.ts'
import { REALTIME_PATH } from '../../api/index.ts'
import { viaOf } from '../../core/via.ts'
import { requestHeaders } from '../upstream/headers.ts'
import type { Pool } from '../upstream/pools.ts'
import { refusalOf } from './realtime-choice.ts'
import type { Peer } from './realtime-peer.ts'
import { RealtimeSession } from './realtime-session.ts'

/** What WebSockets need of the data plane. */
export type RealtimeDeps = Pick<
  ProxyDeps,
  'store' | 'pools' | 'leases' | 'clock' | 'emit' | 'instanceId'
>

type App = Parameters<typeof httpProxy>[0]
type Options = Parameters<typeof httpProxy>[1]
type Plain = NonNullable<Options['handler']>

/** Longest message either way, bytes: uvicorn's own default (`--ws-max-size`). */
const MESSAGE_BYTES_MAX = 16 * 1024 * 1024
/** After a close frame the other side's is awaited this long, ms. */
const CLOSING_MS_MAX = 2_000

/** The library's own server of WebSockets, as far as it is used here. */
interface SocketServer {
  readonly options: { readonly WebSocket: PeerClass }
  on(event: 'headers', listener: (lines: string[], request: IncomingMessage) => void): unknown
  handleUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    done: (source: Peer) => void,
  ): void
}

type PeerClass = new (url: string, protocols: readonly string[], options: object) => Peer

/** A connection that Node has let go of. */
interface Raw {
  readonly socket: Duplex
  readonly head: Buffer
}

/**
 * WebSockets on `/v1/realtime`, by `@fastify/http-proxy`: the one part of it that is used, and the
 * only file that imports it. Its defaults are made for other traffic, so each one is said and each
 * trap has its cure here or in `realtime-session.ts`. It routes upgrades and brings `ws`; it would
 * answer 101 before the upstream has agreed, so its own handler is never reached by them.
 */
export class Realtime {
  readonly #deps: RealtimeDeps
  /** By Node's own request. */
  readonly #sessions = new Map<object, RealtimeSession>()
  readonly #raw = new WeakMap<object, Raw>()
  #server: SocketServer | null = null
  #closing = false

  constructor(deps: RealtimeDeps) {
    this.#deps = deps
  }

  /** Why nobody gets a socket now; null: the next one does. */
  refusal(requestId: string): Answer | null {
    return refusalOf(this.#deps, this.#closing, requestId)
  }

  /** Has this request's connection become a socket? */
  took(request: object): boolean {
    return this.#sessions.has(request)
  }

  /** Adds the route and the listener for upgrades. Requests that are none go to `plain`. */
  register(app: App, plain: Plain): void {
    app.server.prependListener('upgrade', (request: IncomingMessage, socket, head: Buffer) => {
      this.#raw.set(request, { socket, head })
    })
    app.register(httpProxy, this.#options(plain))
  }

  /** No new sockets; those that run are told 1001 at once: they have no end of their own that a
   *  drain could wait for, and clients reconnect. */
  close(): void {
    this.#closing = true
    for (const session of this.#sessions.values()) session.shutdown()
  }

  /** Destroys every socket. */
  cut(): void {
    this.#closing = true
    for (const session of this.#sessions.values()) session.cut()
  }

  /** Takes the connection of an upgraded request over. */
  #begin(asking: Asking, { socket, head }: Raw, reply: Reply): void {
    const { raw: request, id: requestId, headers } = asking
    const server = this.#serverOf(reply)
    const offered = protocolOf(headers['sec-websocket-protocol'])
    const session = new RealtimeSession(this.#deps, {
      requestId,
      request,
      socket,
      open: (pool, began) => {
        const side = new server.options.WebSocket(
          pool.target.url.replace(/^http/, 'ws'),
          offered === null ? [] : [offered],
          {
            ...TO_UPSTREAM,
            headers: this.#headers(asking, pool),
            finishRequest: (asked: ClientRequest) => {
              // As the client wrote it, below the upstream's own base path.
              const { pathname } = new URL(pool.target.url)
              asked.path = `${pathname.replace(/\/$/, '')}${request.url ?? ''}`
              began(asked)
              asked.end()
            },
          },
        )
        // Engines ignore subprotocols (vLLM), which the library takes for a fault; browsers want the
        // answer to theirs.
        side.once('upgrade', (answer: IncomingMessage) => {
          if (offered !== null) answer.headers['sec-websocket-protocol'] ??= offered
        })
        return side
      },
      accept: (done) => server.handleUpgrade(request, socket, head, done),
      refuse: ({ status, headers: said, body }) => {
        reply.raw.writeHead(status, { ...said, connection: 'close' }).end(body)
      },
    })
    this.#sessions.set(request, session)
    session.onEnded(() => this.#sessions.delete(request))
    session.start()
  }

  #serverOf(reply: Reply): SocketServer {
    if (this.#server !== null) return this.#server
    const server = serverOf(reply)
    server.on('headers', (lines, request) => {
      lines.push(...(this.#sessions.get(request)?.headers() ?? []))
    })
    this.#server = server
    return server
  }

  #options(plain: Plain): Options {
    return {
      prefix: REALTIME_PATH,
      // The path itself and no other; all that is no upgrade goes by the gate's own forwarder.
      routes: [''],
      httpMethods: ['GET'],
      handler: plain,
      // Never used, so it needs no connections of its own.
      globalAgent: true,
      destroyAgent: false,
      disableCache: true,
      retryMethods: [],
      // Bodies are nobody's business here.
      proxyPayloads: false,
      upstream: '',
      rewritePrefix: REALTIME_PATH,
      internalRewriteLocationHeader: false,
      preHandler: (request, reply, done) => {
        const raw = this.#raw.get(request.raw)
        // Plain requests come by here, too. Who asked for a socket and got none does not.
        if (raw === undefined) return done()
        reply.hijack()
        this.#begin(request, raw, reply)
      },
      websocket: true,
      wsServerOptions: {
        ...BOTH,
        clientTracking: true,
        handleProtocols: (names: Set<string>) => firstOf([...names]) ?? false,
      },
    }
  }

  /** Only what every request may bring; the library would send the client's cookies. */
  #headers(request: Asking, { target }: Pool): Record<string, string> {
    return requestHeaders(request.headers, {
      requestId: request.id,
      authorization: target.authorization,
      via: viaOf(request.headers.via, this.#deps.instanceId).value,
      hasBody: false,
    })
  }
}

/** The subprotocol to agree to: the first that the client offers, unless it is a key (openai-node in
 *  browsers). */
function firstOf(names: readonly string[]): string | null {
  return names.find((name) => !name.startsWith('openai-insecure-api-key.')) ?? null
}

function protocolOf(offered: string | undefined): string | null {
  return offered === undefined ? null : firstOf(offered.split(',').map((name) => name.trim()))
}

interface Reply {
  readonly raw: ServerResponse
}

interface Asking {
  readonly raw: IncomingMessage
  readonly headers: IncomingMessage['headers']
  readonly id: string
}

/** What is said to the library on both sides. */
const BOTH = {
  // Beyond it 1009.
  maxPayload: MESSAGE_BYTES_MAX,
  // A compressed frame may be a bomb, and audio does not shrink.
  perMessageDeflate: false,
  // Pings go through to the other end: only that one can say that it lives.
  autoPong: false,
  closeTimeout: CLOSING_MS_MAX,
  // Text is UTF-8, or the socket is closed with 1007.
  skipUTF8Validation: false,
  // As many messages in one turn as one read brought.
  allowSynchronousEvents: true,
  // Memory of a message in pieces.
  maxFragments: 16 * 1024,
  maxBufferedChunks: 256 * 1024,
}

/** What is said to it on the way to an upstream. */
const TO_UPSTREAM = {
  ...BOTH,
  // Redirects are never followed: a key could go elsewhere.
  followRedirects: false,
  // Both phases of the handshake are timed by the session.
  handshakeTimeout: undefined,
  protocolVersion: 13,
  maxHeaderSize: 64 * 1024,
  insecureHTTPParser: false,
  rejectUnauthorized: true,
  // `localhost` may be ::1 or 127.0.0.1: try both.
  autoSelectFamily: true,
  autoSelectFamilyAttemptTimeout: 250,
}

/** `reply.wsProxy` is not in the library's documentation; its version is pinned. */
function serverOf(reply: object): SocketServer {
  const proxy: unknown = 'wsProxy' in reply ? reply.wsProxy : null
  const server: unknown =
    typeof proxy === 'object' && proxy !== null && 'wss' in proxy ? proxy.wss : null
  if (!isServer(server)) throw new Error('@fastify/http-proxy has no wsProxy.wss')
  return server
}

function isServer(value: unknown): value is SocketServer {
  return typeof value === 'object' && value !== null && 'handleUpgrade' in value && 'on' in value
}
