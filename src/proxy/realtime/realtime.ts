import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import { WebSocket, WebSocketServer } from 'ws'
import type { Handed } from '../../core/exchange/exchange.ts'
import type { Answer } from '../../errors/answer.ts'
import { requestHeaders } from '../upstream/headers.ts'
import type { Pool } from '../upstream/pools.ts'
import { answerOf, choose, type Why } from './choice.ts'
import { type RealtimeDeps, RealtimeSession } from './session.ts'

/** Longest message either way, bytes: uvicorn's own default (`--ws-max-size`). */
const MESSAGE_BYTES_MAX = 16 * 1024 * 1024
/** After a close frame the other side's is awaited this long, ms. */
const CLOSING_MS_MAX = 2_000

/**
 * WebSockets on `/v1/realtime`, by `ws` on both sides (docs/decisions/0023): the only file that
 * imports it. Its defaults are made for other traffic, so each one is said and each trap has its cure
 * here or in the session.
 */
export class Realtime {
  readonly #deps: RealtimeDeps
  readonly #sessions = new Map<IncomingMessage, RealtimeSession>()
  readonly #server: WebSocketServer
  #closing = false
  #idle = (): void => {}

  constructor(deps: RealtimeDeps) {
    this.#deps = deps
    this.#server = new WebSocketServer({
      ...BOTH,
      noServer: true,
      clientTracking: false,
      handleProtocols: (names: Set<string>) => firstOf([...names]) ?? false,
    })
    this.#server.on('headers', (lines: string[], request: IncomingMessage) => {
      lines.push(...(this.#sessions.get(request)?.headers() ?? []))
    })
  }

  /** Why nobody gets a socket now; null: the next one does. */
  refusal(requestId: string): Answer | null {
    const draining: Why | null = this.#closing ? { code: 'gate_draining' } : null
    const choice = draining ?? choose(this.#deps)
    return 'code' in choice ? answerOf(this.#deps, choice, requestId) : null
  }

  /** Takes over a request whose connection is to become a socket. `head`: what came behind it. */
  take(request: IncomingMessage, response: ServerResponse, handed: Handed, head: Buffer): void {
    const { socket } = request
    const session = new RealtimeSession(this.#deps, {
      requestId: handed.requestId,
      request,
      socket,
      open: (pool, began) => openSide(request, handed, pool, began),
      accept: (done) => this.#server.handleUpgrade(request, socket, head, done),
      refuse: ({ status, headers, body }) => {
        response.writeHead(status, { ...headers, connection: 'close' }).end(body)
      },
      ended: () => {
        this.#sessions.delete(request)
        if (this.#sessions.size === 0) this.#idle()
      },
    })
    this.#sessions.set(request, session)
    session.start()
  }

  /** No new sockets; those that run are told 1001 at once: they have no end of their own that a
   *  drain could wait for, and clients reconnect. Resolves when nothing is left of them. */
  async close(): Promise<void> {
    this.#closing = true
    if (this.#sessions.size === 0) return
    const idle = new Promise<void>((resolve) => (this.#idle = resolve))
    for (const session of this.#sessions.values()) session.shutdown()
    await idle
  }

  /** Destroys every socket. */
  cut(): void {
    this.#closing = true
    for (const session of this.#sessions.values()) session.cut()
  }
}

/** A side to this upstream; `began` gets its request, which is not sent yet. */
function openSide(
  request: IncomingMessage,
  handed: Handed,
  { target }: Pool,
  began: (asked: ClientRequest) => void,
): WebSocket {
  const names = request.headers['sec-websocket-protocol']?.split(',').map((name) => name.trim())
  const offered = firstOf(names ?? [])
  const side = new WebSocket(target.url.replace(/^http/, 'ws'), offered === null ? [] : [offered], {
    ...TO_UPSTREAM,
    // Only what every request may bring; the library would send the client's cookies.
    headers: requestHeaders(request.headers, {
      requestId: handed.requestId,
      authorization: target.authorization,
      via: handed.via,
      hasBody: false,
    }),
    finishRequest: (asked: ClientRequest) => {
      // As the client wrote it, below the upstream's own base path.
      const { pathname } = new URL(target.url)
      asked.path = `${pathname.replace(/\/$/, '')}${request.url ?? ''}`
      began(asked)
      asked.end()
    },
  })
  // Engines ignore subprotocols (vLLM), which the library takes for a fault; browsers want the
  // answer to theirs.
  side.once('upgrade', (answer: IncomingMessage) => {
    if (offered !== null) answer.headers['sec-websocket-protocol'] ??= offered
  })
  return side
}

/** The subprotocol to agree to: the first that the client offers, unless it is a key (openai-node in
 *  browsers). */
function firstOf(names: readonly string[]): string | null {
  return names.find((name) => !name.startsWith('openai-insecure-api-key.')) ?? null
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
