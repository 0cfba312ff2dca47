import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import t from 'tap'
import { type Clock, systemClock } from '../../../src/runtime/clock.ts'
import { ask, crashesDuring, get, isError, RawClient } from '../../support/raw.ts'
import {
  closed,
  echoGate,
  echoUpstream,
  endings,
  handshake,
  hesitant,
  listening,
  realtimeGate,
  reset,
  until,
} from './gate.ts'

// Rows of docs/bad-input.md that are shown here: socket-reset.
// Rows of docs/faults.md that are shown here: socket-refused.

// Goal: the traps of @fastify/http-proxy and of ws, one test each.
// Method: the real server, guards and plugin between real sockets; upstreams count as eligible.
// Each test says which line it fails without; each was taken out once, and it did.

/** The system's clock, on which one wait is shorter. */
const hasty = (fromMs: number, toMs: number): Clock => ({
  ...systemClock,
  after: (delayMs, task) => systemClock.after(delayMs === fromMs ? toMs : delayMs, task),
})

t.test('messages pass both ways, text and binary, to 8 MiB, in order', async (t) => {
  const { client, events, leases } = await echoGate(t)
  const socket = await client()
  t.equal(leases.count('a'), 1, 'a lease for as long as it lives')
  const sizes = [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 8 << 20]
  for (const size of sizes) {
    for (const binary of [true, false]) {
      const sent = binary ? Buffer.alloc(size, 0xff) : 'ä'.repeat(size / 2)
      socket.send(sent)
      const [data, isBinary] = (await once(socket, 'message')) as [Buffer, boolean]
      t.equal(isBinary, binary)
      t.ok(data.equals(Buffer.from(sent)), `${size} bytes`)
    }
  }
  socket.close(1000, 'bye')
  t.same(await closed(socket), { code: 1000, reason: 'bye' })
  await until(() => leases.total === 0)
  t.match(endings(events), [
    { path: '/v1/realtime', method: 'GET', upstream: 'a', status: 101, ending: 'finished' },
  ])
})

t.test('the 101 names request and upstream; the upstream hears the gate alone', async (t) => {
  // Fails without: `server.on('headers', …)`; without `rewriteRequestHeaders` (the plugin's own
  // passes cookies on); without `request.path = …` (the plugin forgets the base path).
  const upstream = await echoUpstream(t)
  const gate = await realtimeGate(t, [{ url: `${upstream.url}/engine` }], { keys: ['gate-key'] })
  const raw = new RawClient(gate.port).send(
    handshake(
      [
        'Authorization: Bearer gate-key',
        'X-Request-Id: mine',
        'Cookie: a=b',
        'X-Forwarded-For: 1.2.3.4',
        'Forwarded: for=1.2.3.4',
        'Keep-Alive: 300',
        'OpenAI-Beta: realtime=v1',
        'Sec-WebSocket-Extensions: permessage-deflate',
        'Origin: http://app.example',
      ],
      '/v1/realtime?model=m&x=%7E"',
    ),
  )
  const answer = await raw.answer()
  t.equal(answer?.status, 101)
  t.match(answer?.headers, { 'x-request-id': 'mine', 'x-gengate-upstream': 'a' })
  t.notOk(answer?.headers['sec-websocket-extensions'], 'no compression')
  await until(() => upstream.requests.length === 1)
  const [request] = upstream.requests
  t.equal(request?.url, '/engine/v1/realtime?model=m&x=%7E"', 'byte for byte')
  t.match(request?.headers, {
    authorization: 'Bearer upstream-key',
    via: '1.1 gengate-me',
    'x-request-id': 'mine',
    'openai-beta': 'realtime=v1',
  })
  const names = Object.keys(request?.headers ?? {})
  for (const name of ['cookie', 'x-forwarded-for', 'forwarded', 'keep-alive', 'origin']) {
    t.notOk(names.includes(name), name)
  }
  t.notOk(names.includes('sec-websocket-extensions'))
  t.notMatch(JSON.stringify(request?.rawHeaders), /gate-key/)
  raw.destroy()
  await until(() => gate.leases.total === 0)
})

t.test('subprotocols: the first that is no key, also where the upstream ignores it', async (t) => {
  // Fails without: `#agreed` (ws: "Server sent no subprotocol"); `handleProtocols` (the key goes on).
  const { upstream, client } = await echoGate(t, {}, { handleProtocols: () => false })
  const protocols = ['openai-insecure-api-key.sk-secret', 'realtime', 'openai-beta.realtime-v1']
  const socket = await client({ protocols })
  t.equal(socket.protocol, 'realtime')
  socket.send('x')
  t.equal(String((await once(socket, 'message'))[0]), 'x')
  t.equal(upstream.requests[0]?.headers['sec-websocket-protocol'], 'realtime')
  t.notMatch(JSON.stringify(upstream.requests[0]?.rawHeaders), /sk-secret/)
})

t.test('close codes and reasons pass both ways', async (t) => {
  // Fails without our own 'close' listeners: the plugin lifts 1005 to 4005.
  const { upstream, client, leases } = await echoGate(t)
  for (const [code, reason] of [
    [1000, ''],
    [1000, 'done'],
    [1001, 'x'.repeat(123)],
    [3000, 'ä'],
    [4999, 'own'],
    [1005, ''],
  ] as const) {
    for (const first of ['client', 'upstream'] as const) {
      const socket = await client()
      await until(() => upstream.server.clients.size === 1)
      const other = upstream.sockets.at(-1)
      if (other === undefined) throw new Error('no socket')
      const [from, to] = first === 'client' ? [socket, other] : [other, socket]
      const heard = closed(to)
      from.close(code === 1005 ? undefined : code, code === 1005 ? undefined : reason)
      t.same(await heard, { code, reason }, `${code} by the ${first}`)
      await until(() => leases.total === 0 && upstream.server.clients.size === 0)
    }
  }
})

t.test('pings reach the other end, and one pong comes back', async (t) => {
  // Fails without `autoPong: false`: the gate answers for an upstream that may be frozen.
  const { upstream, client } = await echoGate(t, {}, { autoPong: false })
  const socket = await client()
  const pongs: string[] = []
  socket.on('pong', (data: Buffer) => pongs.push(data.toString()))
  await until(() => upstream.sockets.length === 1)
  const [other] = upstream.sockets
  const heard = once(other as never, 'ping')
  socket.ping('alive?')
  t.equal(String((await heard)[0]), 'alive?')
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.same(pongs, [], 'nobody answered in its place')
  const back = once(other as never, 'pong')
  other?.ping('you?')
  t.equal(String((await back)[0]), 'you?', 'the other way round')
})

const saying = (bytes: string) =>
  createServer((socket) => socket.once('data', () => socket.write(bytes)))

t.test('upstreams that give no socket: an ordinary 502, and no address leaks', async (t) => {
  // Fails with the handler of the plugin: it answers 101 first.
  const http = createHttpServer((_request, response) => response.writeHead(403).end('no'))
  const key = createHttpServer((_request, response) => response.writeHead(401).end('no'))
  const reset = createServer((socket) => socket.once('data', () => socket.resetAndDestroy()))
  const garbage = saying('220 smtp\r\n\r\n')
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n'
  const liar = saying(`HTTP/1.1 101 S\r\n${upgrade}`)
  for (const [url, code] of [
    ['http://127.0.0.1:1', 'upstream_unreachable'],
    [await listening(t, http), 'upstream_protocol_error'],
    [await listening(t, key), 'upstream_misconfigured'],
    [await listening(t, reset), 'upstream_unreachable'],
    [await listening(t, garbage), 'upstream_protocol_error'],
    [await listening(t, liar), 'upstream_protocol_error'],
  ] as const) {
    const { port, events, leases } = await realtimeGate(t, [{ url }])
    const raw = new RawClient(port).send(`${handshake()}early`)
    const answer = await raw.answer()
    isError(t, answer, 502, code)
    t.match(answer?.body, /message":"[^0-9]*(?:40[13])?[^0-9]*"/)
    t.ok(await raw.isClosed())
    await until(() => leases.total === 0)
    t.match(endings(events), [{ ending: 'failed', code, upstream: 'a' }])
  }
  t.equal(await connections(http), 0, 'none is left open')
})

t.test('an upstream that refuses is evidence; the next socket gets no 101', async (t) => {
  const second = await echoUpstream(t)
  const { port, store } = await realtimeGate(t, [{ url: 'http://127.0.0.1:1' }])
  t.equal((await new RawClient(port).send(handshake()).answer())?.status, 502)
  t.equal(store.current.entries[0]?.reason, 'refused')
  const raw = new RawClient(port).send(handshake())
  const answer = await raw.answer()
  t.equal(answer?.status, 503)
  t.equal(answer?.headers['connection'], 'close')
  t.match(answer?.headers['retry-after'], /^\d+$/)
  t.match(answer?.body, /no_eligible_upstream.*|.*a: refused/)
  t.ok(await raw.isClosed())
  t.equal(second.requests.length, 0)
})

t.test('an upstream that says nothing is given up', async (t) => {
  // Fails without `timeHandshake`: ws waits for ever.
  const slow = createServer((socket) => void socket.resume())
  const gate = await realtimeGate(t, [{ url: await listening(t, slow) }], {
    clock: hasty(10_000, 50),
  })
  const answer = await new RawClient(gate.port).send(handshake()).answer()
  isError(t, answer, 502, 'upstream_unreachable')
  t.match(answer?.body, 'in time')
  await until(() => gate.leases.total === 0)
  t.equal(await connections(slow), 0)
})

t.test('the 101 comes after that of the upstream, and what was written goes on', async (t) => {
  const upstream = await hesitant(t)
  const { port, leases } = await realtimeGate(t, [{ url: upstream.url }])
  const hello = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69])
  const raw = new RawClient(port).send(Buffer.concat([Buffer.from(handshake()), hello]))
  await until(() => upstream.agree.length === 1)
  raw.send(hello)
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(raw.rest, '', 'nothing yet')
  upstream.agree[0]?.()
  t.equal((await raw.answer())?.status, 101)
  await until(() => raw.rest === '\x81\x02hi\x81\x02hi')
  raw.destroy()
  await until(() => leases.total === 0)
})

t.test('a client that leaves before the upstream agrees leaves nothing behind', async (t) => {
  for (const leave of ['end', 'resetAndDestroy'] as const) {
    const upstream = await hesitant(t)
    const { port, leases, events } = await realtimeGate(t, [{ url: upstream.url }])
    const raw = new RawClient(port).send(handshake())
    await until(() => upstream.agree.length === 1)
    raw.socket[leave]()
    await until(() => leases.total === 0)
    t.match(endings(events), [{ ending: 'client_gone', phase: 'before_commit' }], leave)
    upstream.agree[0]?.()
    await until(() => upstream.echo.server.clients.size === 0)
  }
})

t.test('close() tells a client that waits for its 101, cut() does not', async (t) => {
  for (const how of ['close', 'cut'] as const) {
    const upstream = await hesitant(t)
    const { port, leases, events, realtime } = await realtimeGate(t, [{ url: upstream.url }])
    const raw = new RawClient(port).send(handshake())
    await until(() => upstream.agree.length === 1)
    realtime[how]()
    if (how === 'close') isError(t, await raw.answer(), 503, 'gate_draining')
    t.ok(await raw.isClosed())
    await until(() => leases.total === 0)
    t.equal(endings(events).length, 1)
  }
})

t.test('the next upstream gives the socket that the first one does not', async (t) => {
  const second = await echoUpstream(t)
  const http = createHttpServer((_request, response) => response.writeHead(403).end('no'))
  for (const url of ['http://127.0.0.1:1', await listening(t, http)]) {
    const gate = await realtimeGate(t, [
      { name: 'one', url },
      { name: 'two', url: second.url },
    ])
    const raw = new RawClient(gate.port).send(handshake())
    t.match(await raw.answer(), { status: 101, headers: { 'x-gengate-upstream': 'two' } })
    raw.destroy()
    await until(() => gate.leases.total === 0)
    t.match(endings(gate.events), [{ upstream: 'two', attempts: 2 }])
  }
})

t.test('a client that resets: an upstream that says nothing to it is let go', async (t) => {
  // It answers no close frame, for which the library waits two seconds.
  const upstream = await echoUpstream(t, {}, false)
  const soon: (() => void)[] = []
  const gate = await realtimeGate(t, [{ url: upstream.url }], {
    clock: {
      ...systemClock,
      after: (delayMs, task) => {
        if (delayMs > 100) return systemClock.after(delayMs, task)
        soon.push(task)
        return () => {}
      },
    },
  })
  const socket = await gate.client()
  await until(() => upstream.sockets.length === 1)
  upstream.sockets[0]?.pause()
  reset(socket)
  await until(() => soon.length === 1)
  soon[0]?.()
  await until(() => gate.leases.total === 0)
  t.match(endings(gate.events), [{ ending: 'client_gone' }])
})

t.test('an upstream that dies under an open socket: the client hears 1014', async (t) => {
  const { upstream, client, events, leases } = await echoGate(t)
  const socket = await client()
  await until(() => upstream.sockets.length === 1)
  const heard = closed(socket)
  for (const side of upstream.sockets) reset(side)
  t.match(await heard, { code: 1014, reason: /^upstream_truncated/ })
  await until(() => leases.total === 0)
  t.match(endings(events), [{ ending: 'cut', code: 'upstream_truncated' }])
})

t.test('clients that reset: the gate lives, the upstream hears 1001', async (t) => {
  const { upstream, ...gate } = await echoGate(t)
  const crashes = await crashesDuring(async () => {
    for (let i = 0; i < 10; i++) {
      const socket = await gate.client()
      await until(() => upstream.server.clients.size === 1)
      const heard = closed(upstream.sockets.at(-1) as never)
      reset(socket)
      t.match(await heard, { code: 1001 })
      await until(() => gate.leases.total === 0)
    }
    // And at once, while the handshake is under way.
    for (let i = 0; i < 50; i++) {
      const raw = new RawClient(gate.port).send(handshake())
      await once(raw.socket, 'connect')
      if (i % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
      raw.socket.resetAndDestroy()
    }
    await until(() => gate.leases.total === 0)
  })
  t.same(crashes, [])
  const left = endings(gate.events).filter(
    (event) => 'ending' in event && event.ending === 'client_gone',
  )
  t.ok(left.length >= 10)
  t.equal((await ask(gate, get('/livez')))?.status, 200)
})

t.test('REG-20 frames that are none close the socket; the gate lives', async (t) => {
  const gate = await echoGate(t)
  const crashes = await crashesDuring(async () => {
    for (const [code, frame] of [
      [1002, '\x81\x05hello'], // not masked
      [1002, '\x83\x80\0\0\0\0'], // no such opcode
      [1002, '\xf1\x80\0\0\0\0'], // reserved bits
      [1002, '\x89\xfe\x00\xff\0\0\0\0'], // a long ping
      [1002, '\x80\x80\0\0\0\0'], // the rest of nothing
      [1007, '\x81\x82\0\0\0\0\xc3\x28'], // no UTF-8
      [1002, '\x88\x82\0\0\0\0\x03\xed'], // 1005 is not for the wire
      [1009, '\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0'], // exabytes
    ] as const) {
      const raw = new RawClient(gate.port).send(handshake())
      t.equal((await raw.answer())?.status, 101)
      raw.send(Buffer.from(frame, 'latin1'))
      await until(() => raw.rest.length >= 4)
      t.equal(Buffer.from(raw.rest, 'latin1').readUInt16BE(2), code)
      raw.destroy()
    }
    await until(() => gate.leases.total === 0)
  })
  t.same(crashes, [])
})

t.test('messages beyond 16 MiB end the socket with 1009', async (t) => {
  // Fails without `maxPayload`: ws takes 100 MiB.
  const { upstream, client, leases } = await echoGate(t)
  const socket = await client()
  await until(() => upstream.sockets.length === 1)
  const heard = closed(upstream.sockets[0] as never)
  socket.send(Buffer.alloc(16 * 1024 * 1024 + 1))
  t.match(await closed(socket), { code: 1009 })
  t.match(await heard, { code: 1001 })
  await until(() => leases.total === 0)
})

t.test('a reader that is slow holds the writer back', async (t) => {
  // Fails without `limitFlow`: all of it lies in our memory.
  for (const slow of ['client', 'upstream'] as const) {
    const { upstream, client, leases } = await echoGate(t, {}, {}, false)
    const socket = await client()
    await until(() => upstream.sockets.length === 1)
    const other = upstream.sockets[0]
    if (other === undefined) throw new Error('no socket')
    const [writer, reader] = slow === 'client' ? [other, socket] : [socket, other]
    let got = 0
    reader.on('message', (data: Buffer) => (got += data.length))
    reader.pause()
    const piece = Buffer.alloc(1 << 20)
    for (let i = 0; i < 32; i++) writer.send(piece)
    t.ok((await settled(writer)) > 16 << 20, 'most of it waits at the writer')
    reader.resume()
    await until(() => got === 32 << 20, 10_000)
    socket.close()
    await until(() => leases.total === 0)
  }
})

t.test('a side that does not read for a minute is given up', async (t) => {
  // Fails without the timer in `limitFlow`: a client that left meanwhile is never noticed.
  const upstream = await echoUpstream(t, {}, false)
  const { client, leases, events } = await realtimeGate(t, [{ url: upstream.url }], {
    clock: hasty(60_000, 100),
  })
  const socket = await client()
  await until(() => upstream.sockets.length === 1)
  upstream.sockets[0]?.pause()
  for (let i = 0; i < 64; i++) socket.send(Buffer.alloc(1 << 20))
  await until(() => leases.total === 0)
  t.match(endings(events), [{ ending: 'cut', code: 'upstream_stalled' }])
})

t.test('close() tells both sides 1001 and ends, even if one never answers', async (t) => {
  // Fails without `upgrades.close()`: the plugin closes without a code. Without `closeTimeout` it
  // takes 30 s.
  const { upstream, ...gate } = await echoGate(t)
  const socket = await gate.client()
  const mute = new RawClient(gate.port).send(handshake())
  t.equal((await mute.answer())?.status, 101)
  await until(() => upstream.sockets.length === 2)
  // The gate may have yet to read that the upstream has accepted: what was sent has passed both.
  const passed = upstream.sockets.map((one) => once(one, 'message'))
  socket.send('x')
  mute.send(Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x78]))
  await Promise.all(passed)
  const heard = upstream.sockets.map(closed)
  const client = closed(socket)
  const closing = gate.server.close()
  t.match(await client, { code: 1001, reason: /shutting down/ })
  for (const one of await Promise.all(heard)) t.match(one, { code: 1001 })
  await closing
  t.equal(gate.leases.total, 0)
  t.match(endings(gate.events), [
    { ending: 'cut', code: 'gate_draining' },
    { ending: 'cut', code: 'gate_draining' },
  ])
})

t.test('cut() destroys sockets that never answer', async (t) => {
  // Fails without `upgrades.cut()`: Node does not know these connections any more.
  const gate = await echoGate(t)
  const mute = new RawClient(gate.port).send(handshake())
  t.equal((await mute.answer())?.status, 101)
  const closing = gate.server.close()
  gate.server.cut()
  await closing
  await until(() => gate.leases.total === 0)
})

/** How much waits at this side when it no longer changes. */
async function settled(socket: { readonly bufferedAmount: number }): Promise<number> {
  for (let last = -1; last !== socket.bufferedAmount;) {
    last = socket.bufferedAmount
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  return socket.bufferedAmount
}

function connections(server: {
  getConnections(done: (e: Error | null, n: number) => void): unknown
}) {
  return new Promise<number>((resolve) => {
    // What was destroyed takes a turn to be gone.
    setTimeout(() => server.getConnections((_error, count) => resolve(count)), 50)
  })
}
