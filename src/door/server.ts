import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, METHODS, type ServerOptions } from 'node:http'
import type { Socket } from 'node:net'
import httpProxy from '@fastify/http-proxy'
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { REALTIME_PATH } from '../api/index.ts'
import { Door, type DoorParts } from './door.ts'

/** The listener of one gate. */
export type GateServer = ReturnType<typeof buildServer>

/**
 * Everything Node's HTTP server can be told about a connection, said aloud: no
 * default on the data path is left unsaid.
 */
const HTTP_OPTIONS: ServerOptions = {
  // A head has 10 s, checked every second: slow senders are gone within 12 s.
  headersTimeout: 10_000,
  connectionsCheckingInterval: 1_000,
  // Bodies and answers are timed by the lane that reads them; an upload may take an hour.
  requestTimeout: 0,
  // Longer than the 60 s for which load balancers keep an idle connection, so that they close first.
  keepAliveTimeout: 72_000,
  // Margin over the announced timeout against a request that is already on its way.
  keepAliveTimeoutBuffer: 1_000,
  // The request line and all headers; beyond it 431.
  maxHeaderSize: 16_384,
  // Node's own 400 has no body; ours has (server.ts).
  requireHostHeader: false,
  // Two Host headers must stay visible as two in rawHeaders.
  joinDuplicateHeaders: false,
  // The strict parser: leniency is how requests are smuggled.
  insecureHTTPParser: false,
  // A token is worth a packet.
  noDelay: true,
  // A client behind a dead link must not hold an answer for ever.
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
  // Unless the server says otherwise, nothing is upgraded.
  shouldUpgradeCallback: () => false,
  // The body of a HEAD answer is dropped, not an error.
  rejectNonStandardBodyWrites: false,
  // Without a body there are still 'end' and 'close' events to wait for.
  optimizeEmptyRequests: false,
}

/** Builds the one HTTP server. The only file that imports fastify and its plugin: they listen, and
 *  each request goes through the door at once, whatever its path. */
export function buildServer(parts: DoorParts) {
  const door = new Door(parts)
  const app = fastify({
    // The gate has its own log line per request.
    logger: false,
    // No proxy stands before us whose X-Forwarded-* we would believe.
    trustProxy: false,
    // Never applied: Fastify reads no body here (see `open`); lanes have their own limit.
    bodyLimit: 1,
    // 0: streams may be silent; the exchange times them.
    connectionTimeout: 0,
    requestTimeout: 0,
    handlerTimeout: 0,
    keepAliveTimeout: HTTP_OPTIONS.keepAliveTimeout ?? 0,
    // 0: no limit; agents keep one connection for thousands of calls.
    maxRequestsPerSocket: 0,
    // Fastify's word for it has no OpenAI shape; the proxy refuses while it drains.
    return503OnClosing: false,
    // `true` would cut running streams; `Connections` closes what is idle.
    forceCloseConnections: false,
    // Ours are checked first.
    requestIdHeader: false,
    genReqId: requestIdOf,
    exposeHeadRoutes: false,
    // A broken escape is the only thing that Fastify's router refuses by itself.
    frameworkErrors: (_error, { raw, id }, reply) => {
      reply.hijack()
      door.serve(raw, reply.raw, id, 'bad_path')
    },
    clientErrorHandler: (error, socket) => door.refuseBytes(socket, error),
    // All that is not upgraded is an ordinary request, and its bytes are not a tunnel.
    http: { ...HTTP_OPTIONS, shouldUpgradeCallback: (request) => door.mayUpgrade(request) },
    // The door has split the query off; nobody asks Fastify for it.
    routerOptions: { querystringParser: () => NO_QUERY },
  })
  open(app, door)
  const { upgrades } = parts
  return {
    /** Binds; answers the port. Rejects with Node's error (`EADDRINUSE`, …). */
    async listen(at: { readonly host: string; readonly port: number }): Promise<number> {
      await app.ready()
      return bind(app.server, at)
    },
    /** Stops listening and closes idle connections; resolves when the running answers have ended.
     *  The caller bounds the wait with `cut`. */
    async close(): Promise<void> {
      door.connections.close()
      await Promise.all([upgrades?.close(), app.close()])
    },
    /** Destroys every connection. */
    cut: (): void => {
      app.server.closeAllConnections()
      // Node has let go of those.
      upgrades?.cut()
    },
  }
}

const NO_QUERY: Record<string, unknown> = {}

function open(app: FastifyInstance, door: Door): void {
  const { server } = app
  door.watch(server)
  // 0: nothing is dropped without a word; the door counts them.
  server.maxHeadersCount = 0
  server.on('connect', (_request, socket: Socket) => door.refuseTunnel(socket))
  server.on('checkExpectation', (request, response) => {
    door.serve(request, response, requestIdOf(request), 'expectation_failed')
  })
  // Before the plugin's listener, which hands the request in.
  server.on('upgrade', (request, socket: Socket, head) => door.upgraded(request, socket, head))
  // Every method is routed, and none has a body in Fastify's eyes: it never looks at one, so that
  // the proxy gets the stream untouched and no content type is judged here.
  for (const method of METHODS) {
    if (method !== 'CONNECT') app.addHttpMethod(method, { hasBody: false, overrideExisting: true })
  }
  /** After `hijack` Fastify sends nothing itself. */
  const enter = ({ raw, id }: FastifyRequest, reply: FastifyReply): void => {
    reply.hijack()
    door.serve(raw, reply.raw, id)
  }
  app.all('/*', enter)
  app.setNotFoundHandler(enter)
  // The plugin makes an upgraded request an ordinary one, with a response as any other. It would go
  // on to answer 101 before the upstream has agreed; nothing comes that far.
  app.register(httpProxy, {
    prefix: REALTIME_PATH,
    routes: [''],
    httpMethods: ['GET'],
    websocket: true,
    upstream: '',
    preHandler: enter,
    // Bodies are nobody's business here, and it has no connections of its own.
    proxyPayloads: false,
    globalAgent: true,
  })
}

/** Not app.listen: for `localhost` it would open a second server that nobody here watches. */
async function bind(
  server: FastifyInstance['server'],
  { host, port }: { readonly host: string; readonly port: number },
): Promise<number> {
  server.listen({ host, port })
  await once(server, 'listening')
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : port
}

/** What a client's own id may look like: it goes into headers and log lines. Node joins repeated
 *  headers with a comma, so that two ids count as none. */
const SANE_ID = /^[A-Za-z0-9._:/+=-]{1,128}$/

/** The client's `x-request-id` where it is sane, else a new one. */
function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const sent = request.headers['x-request-id']
  return typeof sent === 'string' && SANE_ID.test(sent) ? sent : randomUUID()
}
