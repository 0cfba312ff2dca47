import { METHODS } from 'node:http'
import type { Socket } from 'node:net'
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { Front } from './front.ts'
import { HTTP_OPTIONS } from './limits.ts'
import type { Call, ServerParts } from './parts.ts'
import { requestIdOf } from './request-id.ts'
import { ROUTES } from './routes.ts'
import { takeUpgrades } from './upgrades.ts'

/** The listener of one gate. */
export interface GateServer {
  /** Binds; answers the port. Rejects with Node's error (`EADDRINUSE`, …). */
  readonly listen: (at: { readonly host: string; readonly port: number }) => Promise<number>
  /** Stops listening and closes idle connections; resolves when the running answers have ended.
   *  The caller bounds the wait with `cut`. */
  readonly close: () => Promise<void>
  /** Destroys every connection. */
  readonly cut: () => void
}

/** Builds the one HTTP server: guards first, then the routes of the gate's own, then the proxy.
 *  The only file that imports fastify. */
export function buildServer(parts: ServerParts): GateServer {
  const front = new Front(parts)
  const app = fastify({
    // The gate has its own log line per request.
    logger: false,
    // No proxy stands before us whose X-Forwarded-* we would believe.
    trustProxy: false,
    // Never applied: Fastify reads no body here (see `routeAll`); lanes have their own limit.
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
    // Ours are checked first (request-id.ts).
    requestIdHeader: false,
    genReqId: requestIdOf,
    // Said per route: every route of the gate's own is GET and HEAD.
    exposeHeadRoutes: false,
    // A broken escape is the only thing that the router refuses by itself.
    frameworkErrors: (_error, request, reply) => front.refusePath(takenOver(request, reply)),
    clientErrorHandler: (error, socket) => front.refuseBytes(socket, error),
    // All that is not upgraded is an ordinary request, and its bytes are no tunnel.
    http: { ...HTTP_OPTIONS, shouldUpgradeCallback: (request) => front.mayUpgrade(request) },
    routerOptions: {
      // Guards, routes and forwarder must agree on paths; the guards take a slash off known ones.
      ignoreTrailingSlash: true,
      ignoreDuplicateSlashes: false,
      caseSensitive: true,
      // Longer than any request line.
      maxParamLength: 16_384,
      // The guards have split the query off; nobody asks Fastify for it.
      querystringParser: () => NO_QUERY,
    },
  })
  routeAll(app, front, parts.proxied)
  const { upgrades } = parts
  if (upgrades !== undefined) {
    takeUpgrades(app.server, upgrades)
    upgrades.register(app, (request, reply) => front.forward(takenOver(request, reply)))
  }
  return {
    async listen(at) {
      await app.ready()
      return bind(app.server, at)
    },
    async close() {
      front.connections.close()
      upgrades?.close()
      await app.close()
    },
    cut: () => {
      app.server.closeAllConnections()
      // Node has let go of those.
      upgrades?.cut()
    },
  }
}

const NO_QUERY: Record<string, unknown> = {}

/** Not app.listen: for `localhost` it would open a second server that nobody here watches. */
async function bind(
  server: FastifyInstance['server'],
  { host, port }: { readonly host: string; readonly port: number },
): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : port
}

function routeAll(app: FastifyInstance, front: Front, proxied: readonly string[]): void {
  const { server } = app
  front.watch(server)
  // 0: nothing is dropped without a word; `admit` counts them.
  server.maxHeadersCount = 0
  server.on('connect', (_request, socket: Socket) => {
    // Node has let go of the socket: an error that nobody hears would end the process.
    socket.on('error', () => socket.destroy())
    front.refuseTunnel(socket)
  })
  server.on('checkExpectation', (request, response) => {
    front.refuseExpectation({ request, response, requestId: requestIdOf(request) })
  })
  // Every method is routed, and none has a body in Fastify's eyes: it never looks at one, so that
  // the proxy gets the stream untouched and no content type is judged here.
  for (const method of METHODS) {
    if (method !== 'CONNECT') app.addHttpMethod(method, { hasBody: false, overrideExisting: true })
  }
  app.addHook('onRequest', (request, reply, done) => {
    const call = { request: request.raw, response: reply.raw, requestId: request.id }
    if (front.admit(call, request.routeOptions.url)) done()
    else reply.hijack()
  })
  for (const [path, route] of Object.entries(ROUTES)) {
    app.all(path, (request, reply) => front.own(takenOver(request, reply), route))
  }
  for (const path of ['/v1/*', ...proxied]) {
    app.all(path, (request, reply) => front.forward(takenOver(request, reply)))
  }
  app.setNotFoundHandler((request, reply) => front.lost(takenOver(request, reply)))
  app.setErrorHandler((error, request, reply) => front.failed(takenOver(request, reply), error))
}

/** After this Fastify sends nothing itself: each answer leaves by one way, in one shape. */
function takenOver(request: FastifyRequest, reply: FastifyReply): Call {
  reply.hijack()
  return { request: request.raw, response: reply.raw, requestId: request.id }
}
