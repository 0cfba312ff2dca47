import type { ClientRequest, IncomingMessage } from 'node:http'
import httpProxy from '@fastify/http-proxy'
import type { Answer } from '../errors/answer.ts'
import type { ProxyDeps } from './deps.ts'
import { asksForSocket, REALTIME_PATH } from './guard-upgrade.ts'
import { requestHeaders, viaOf } from './headers.ts'
import { choose, refusalOf } from './realtime-choice.ts'
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
  readonly clients: Iterable<Peer>
  on(event: 'headers', listener: (lines: string[], request: IncomingMessage) => void): unknown
}

/**
 * WebSockets on `/v1/realtime`, by `@fastify/http-proxy`: the one part of it that is used, and the
 * only file that imports it. Its defaults are made for other traffic, so each one is said and each
 * trap has its cure here or in `realtime-session.ts`. It answers 101 before the upstream has
 * agreed: what can be known before is known by `refusal`, the rest is a close code.
 */
export class Realtime {
  readonly #deps: RealtimeDeps
  /** By Node's own request. */
  readonly #sessions = new Map<object, RealtimeSession>()
  #server: SocketServer | null = null
  #opening: RealtimeSession | null = null
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
    return this.#sessions.get(request)?.attached === true
  }

  /** Adds the route and the listener for upgrades. Requests that are none go to `plain`. */
  register(app: App, plain: Plain): void {
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

  /** Begins the session of an upgraded request; throws where `refusal` would have refused. */
  #begin(request: IncomingMessage, requestId: string): void {
    const choice = choose(this.#deps)
    if ('code' in choice) throw new Error(`no upstream for a socket: ${choice.code}`)
    const { entry, pool } = choice
    const about = { requestId, upstream: entry.spec.name, epoch: entry.epoch, request, pool }
    const session = new RealtimeSession(this.#deps, about)
    this.#sessions.set(request, session)
    session.onEnded(() => this.#sessions.delete(request))
  }

  #sessionOf(request: object): RealtimeSession {
    const session = this.#sessions.get(request)
    if (session === undefined) throw new Error('a socket without a session')
    return session
  }

  #watch(reply: object): void {
    if (this.#server !== null) return
    const server = serverOf(reply)
    server.on('headers', (lines, request) => lines.push(...this.#sessionOf(request).headers()))
    this.#server = server
  }

  /** The library has made the client's socket and is about to open the upstream's. */
  #attach(request: ClientRequest, target: Peer): void {
    const session = this.#opening
    this.#opening = null
    // The one that was added last: all of this is one turn.
    const source = [...(this.#server?.clients ?? [])].at(-1)
    if (session === null || source === undefined) throw new Error('a socket without a client')
    session.attach(source, target, request)
    request.end()
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
      replyOptions: {
        getUpstream: (request) => this.#sessions.get(request.raw)?.origin ?? '',
      },
      preHandler: (request, reply, done) => {
        // Plain requests come by here, too. Who asked for a socket and got none does not.
        if (!asksForSocket(request.headers)) return done()
        try {
          this.#begin(request.raw, request.id)
          this.#watch(reply)
          done()
        } catch (error) {
          done(error instanceof Error ? error : new Error(String(error)))
        }
      },
      websocket: true,
      wsServerOptions: {
        ...BOTH,
        // The library lists its sockets, and ours is found there.
        clientTracking: true,
        // The first that the client offers, unless it is a key (openai-node in browsers).
        handleProtocols: (offered: Set<string>) =>
          [...offered].find((name) => !name.startsWith('openai-insecure-api-key.')) ?? false,
      },
      wsClientOptions: {
        ...BOTH,
        // Only what every request may bring; by default the client's cookies go on.
        rewriteRequestHeaders: (_headers: unknown, request: Asking) => this.#headers(request),
        finishRequest: (request: ClientRequest, target: Peer) => this.#attach(request, target),
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
      },
    }
  }

  #headers(request: Asking): Record<string, string> {
    const session = this.#sessionOf(request.raw)
    this.#opening = session
    return requestHeaders(request.headers, {
      requestId: request.id,
      authorization: session.authorization,
      via: viaOf(request.headers.via, this.#deps.instanceId).value,
      hasBody: false,
    })
  }
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

/** `reply.wsProxy` is not in the library's documentation; its version is pinned. */
function serverOf(reply: object): SocketServer {
  const proxy: unknown = 'wsProxy' in reply ? reply.wsProxy : null
  const server: unknown =
    typeof proxy === 'object' && proxy !== null && 'wss' in proxy ? proxy.wss : null
  if (!isServer(server)) throw new Error('@fastify/http-proxy has no wsProxy.wss')
  return server
}

function isServer(value: unknown): value is SocketServer {
  return typeof value === 'object' && value !== null && 'clients' in value && 'on' in value
}
