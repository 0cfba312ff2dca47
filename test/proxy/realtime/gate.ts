import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import type { GateEvent } from '../../../src/core/event.ts'
import type { UpstreamSpec } from '../../../src/core/upstream.ts'
import { buildServer, type GateServer } from '../../../src/door/server.ts'
import { guardPolicy } from '../../../src/door/access.ts'
import { plainAnswer } from '../../../src/errors/answer.ts'
import { checkRequest } from '../../../src/door/guards.ts'
import { sendVia } from '../../../src/door/own-answer.ts'
import { Leases } from '../../../src/proxy/leases.ts'
import { Pools } from '../../../src/proxy/upstream/pools.ts'
import { Realtime } from '../../../src/proxy/realtime/realtime.ts'
import { type Clock, systemClock } from '../../../src/runtime/clock.ts'
import { TableStore } from '../../../src/state/table-store.ts'
import { spec, tableConfig } from '../../support/world.ts'

/** An upstream that agrees and says back what it hears. */
export interface Echo {
  readonly url: string
  readonly server: WebSocketServer
  /** Its side of each socket, and the request that it began with. */
  readonly sockets: WebSocket[]
  readonly requests: IncomingMessage[]
}

/** `echo: false`: it listens only. */
export async function echoUpstream(t: Test, options: object = {}, echo = true): Promise<Echo> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, ...options })
  const sockets: WebSocket[] = []
  const requests: IncomingMessage[] = []
  server.on('connection', (socket, request) => {
    sockets.push(socket)
    requests.push(request)
    socket.on('error', () => {})
    if (!echo) return
    socket.on('message', (data: Buffer, binary: boolean) => socket.send(data, { binary }))
  })
  t.teardown(() => {
    for (const socket of server.clients) socket.terminate()
    server.close()
  })
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${server.address().port}`, server, sockets, requests }
}

/** An upstream that takes handshakes and agrees when it is told to. */
export async function hesitant(
  t: Test,
): Promise<{ url: string; agree: (() => void)[]; echo: Echo }> {
  const agree: (() => void)[] = []
  const echo = await echoUpstream(t, {
    verifyClient: (_info: unknown, answer: (ok: boolean) => void) => {
      agree.push(() => answer(true))
    },
  })
  return { url: echo.url, agree, echo }
}

/** Where a raw TCP or HTTP server listens; it ends with `t`. */
export async function listening(t: Test, server: Server): Promise<string> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export interface RealtimeGate {
  readonly port: number
  readonly events: GateEvent[]
  readonly leases: Leases
  readonly store: TableStore
  readonly realtime: Realtime
  readonly server: GateServer
  /** Opens a client's socket; resolves when it is open. */
  readonly client: (options?: ClientOptions) => Promise<WebSocket>
}

export interface ClientOptions {
  readonly protocols?: readonly string[]
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly autoPong?: boolean
}

/** Server, guards and WebSockets as the gate has them, in front of upstreams that nobody probes. */
export async function realtimeGate(
  t: Test,
  upstreams: readonly Partial<UpstreamSpec>[],
  how: { readonly keys?: readonly string[]; readonly clock?: Clock } = {},
): Promise<RealtimeGate> {
  const { keys = [], clock = systemClock } = how
  const specs = upstreams.map((one) => spec({ probe: 'off', ...one }))
  const events: GateEvent[] = []
  const emit = (event: GateEvent): void => void events.push(event)
  const nowMs = (): number => clock.nowMs()
  const store = new TableStore(tableConfig({ specs }), nowMs)
  const leases = new Leases()
  const pools = new Pools(nowMs)
  pools.sync(
    specs.map(({ name, url }) => ({
      name,
      url,
      authorization: 'Bearer upstream-key',
      connectTimeoutMs: 1_000,
    })),
  )
  const realtime = new Realtime({ store, pools, leases, clock, emit })
  const policy = guardPolicy({
    hosts: [],
    origins: ['http://app.example'],
    keys,
    operatorNeedsKey: false,
    instanceId: 'me',
  })
  const server = buildServer({
    clock: systemClock,
    emit,
    send: sendVia(emit),
    config: { now: { connectionsMax: 5_000 } },
    guard: (request) => checkRequest(request, policy),
    routes: { '/livez': ({ requestId }) => plainAnswer(200, { type: 'a/b', body: '' }, requestId) },
    proxy: {
      handle: (_request, response, handed) => {
        response.writeHead(200, { 'x-request-id': handed.requestId })
        response.end('plain')
      },
    },
    upgrades: realtime,
  })
  const port = await server.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    server.cut()
    await server.close()
    pools.close()
  })
  const client = (options: ClientOptions = {}): Promise<WebSocket> => openSocket(t, port, options)
  return { port, events, leases, store, realtime, server, client }
}

/** A gate over one upstream that agrees. */
export async function echoGate(
  t: Test,
  how: Parameters<typeof realtimeGate>[2] = {},
  options: object = {},
  echo = true,
): Promise<RealtimeGate & { readonly upstream: Echo }> {
  const upstream = await echoUpstream(t, options, echo)
  return { ...(await realtimeGate(t, [{ url: upstream.url }], how)), upstream }
}

/** A client's socket to a gate; rejects with what the handshake failed of. */
export async function openSocket(
  t: Test,
  port: number,
  options: ClientOptions = {},
): Promise<WebSocket> {
  const { protocols = [], query = '', headers = {}, autoPong = true } = options
  const url = `ws://127.0.0.1:${port}/v1/realtime${query}`
  const socket = new WebSocket(url, protocols, { headers, autoPong, perMessageDeflate: true })
  t.teardown(() => socket.terminate())
  socket.on('error', () => {})
  await once(socket, 'open')
  return socket
}

/** Ends a side with a TCP reset. The library has no word for it, but its connection has. */
export function reset(socket: WebSocket): void {
  const connection = Reflect.get(socket, '_socket') as Socket
  connection.resetAndDestroy()
}

/** How a side heard of the end. */
export interface Closed {
  readonly code: number
  readonly reason: string
}

/** Resolves when this side is closed. */
export async function closed(socket: WebSocket): Promise<Closed> {
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
  return { code, reason: reason.toString() }
}

/** Resolves when `check` holds; rejects after two seconds. */
export async function until(check: () => boolean, limitMs = 15_000): Promise<void> {
  const end = performance.now() + limitMs
  while (!check()) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${check.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** The one event of a socket's end. */
export function endings(events: readonly GateEvent[]): GateEvent[] {
  return events.filter((event) => event.type === 'exchange_ended')
}

/** A handshake as bytes. */
export function handshake(lines: readonly string[] = [], target = '/v1/realtime'): string {
  const all = [
    `GET ${target} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version: 13',
    ...lines,
  ]
  return `${all.join('\r\n')}\r\n\r\n`
}
