import { once } from 'node:events'
import t from 'tap'
import type { Upgrades } from '../../../src/door/door.ts'
import { start } from '../../door/start-server.ts'
import { ask, crashesDuring, isError, RawClient, request } from '../../support/raw.ts'
import { closed, echoGate, echoUpstream, endings, handshake, realtimeGate, until } from './gate.ts'

// Goal: nothing but a good handshake on the one path becomes a socket, what is refused is refused
// in our own words before any 101, and no connection that Node has let go of is left alone.
// Method: raw bytes against the real server and guards.

const asked = (port: number, bytes: string) => ask({ port }, bytes)

t.test('B35 everything but a good handshake on the path is 426, and no tunnel', async (t) => {
  // Fails without `upgradeFault`: ws answers the later ones itself, in HTML.
  const { upstream, port, events } = await echoGate(t)
  const good = handshake()
  for (const [name, bytes] of [
    ['another path', handshake([], '/v1/chat/completions')],
    ['below the path', handshake([], '/v1/realtime/x')],
    ['with a slash', handshake([], '/v1/realtime/')],
    ['a path of the gate', handshake([], '/livez')],
    ['escaped letters', handshake([], '/v1/%72ealtime')],
    ['absolute form', handshake([], 'http://127.0.0.1/v1/realtime')],
    ['another protocol', good.replace('Upgrade: websocket', 'Upgrade: tls/1.0')],
    ['two protocols', good.replace('Upgrade: websocket', 'Upgrade: websocket, h2c')],
    ['POST', good.replace('GET', 'POST')],
    ['HEAD', good.replace('GET', 'HEAD')],
    ['HTTP/1.0', good.replace('HTTP/1.1', 'HTTP/1.0')],
    ['no key', good.replace(/Sec-WebSocket-Key.*\r\n/, '')],
    ['a wrong key', good.replace('==', '')],
    ['two keys', handshake(['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='])],
    ['version 8', good.replace('13', '8')],
    ['no version', good.replace(/Sec-WebSocket-Version.*\r\n/, '')],
    ['a body', handshake(['Content-Length: 2'])],
    ['chunks', handshake(['Transfer-Encoding: chunked'])],
    ['protocols twice', handshake(['Sec-WebSocket-Protocol: a, a'])],
    ['an empty protocol', handshake(['Sec-WebSocket-Protocol: a,,b'])],
    ['a protocol that is no token', handshake(['Sec-WebSocket-Protocol: a b'])],
  ] as const) {
    const client = new RawClient(port).send(`${bytes}\x81\x85\x00\x00\x00\x00hello`)
    const answer = await client.answer({ head: name === 'HEAD' })
    if (name === 'HEAD') t.equal(answer?.status, 426)
    else isError(t, answer, 426, 'upgrade_not_supported')
    t.ok(await client.isClosed(), `${name}: closed`)
    client.destroy()
  }
  t.equal(upstream.requests.length, 0)
  t.equal(endings(events).length, 0)
})

t.test('a handshake behind a request that is not answered yet gets no socket', async (t) => {
  // Fails without `isBusy`: the plugin throws where nobody catches it, which ends the process.
  const { port } = await echoGate(t)
  const livez = 'GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
  const crashes = await crashesDuring(async () => {
    const client = new RawClient(port).send(`${livez}${handshake()}`)
    t.equal((await client.answer())?.status, 200)
    isError(t, await client.answer(), 426, 'upgrade_not_supported')
    t.ok(await client.isClosed())
  })
  t.same(crashes, [])
  const patient = new RawClient(port).send(livez)
  t.equal((await patient.answer())?.status, 200)
  t.equal((await patient.send(handshake()).answer())?.status, 101, 'once it is answered')
  patient.destroy()
})

t.test('REG-45 a handshake passes the guards of every request', async (t) => {
  // Fails without the call of `guard` in `mayUpgrade`.
  const { upstream, port } = await echoGate(t, { keys: ['gate-key'] })
  const key = 'Authorization: Bearer gate-key'
  for (const [status, code, bytes] of [
    [401, 'invalid_api_key', handshake()],
    [401, 'invalid_api_key', handshake(['Authorization: Bearer wrong'])],
    [421, 'host_not_allowed', handshake([key]).replace('127.0.0.1', 'evil.example')],
    [403, 'origin_not_allowed', handshake([key, 'Origin: https://evil.example'])],
    [403, 'origin_not_allowed', handshake([key, 'Sec-Fetch-Site: cross-site'])],
    [508, 'loop_detected', handshake([key, 'Via: 1.1 gengate-me'])],
    [400, 'bad_framing', handshake([key, 'Host: b'])],
    [400, 'bad_path', handshake([key], '/v1/x/../realtime')],
  ] as const) {
    isError(t, await asked(port, bytes), status, code)
  }
  t.equal(upstream.requests.length, 0)
  t.equal((await asked(port, handshake([key, 'Origin: http://app.example'])))?.status, 101)
})

t.test('REG-21, REG-22 many headers and long protocol lists are refused in time', async (t) => {
  const { port } = await echoGate(t)
  const many = Array.from({ length: 300 }, (_, i) => `X${i}: a`)
  isError(t, await asked(port, handshake(many)), 431, 'headers_too_large')
  const huge = Array.from({ length: 3_000 }, (_, i) => `X${i}: a`)
  isError(t, await asked(port, handshake(huge)), 431, 'headers_too_large')
  for (const list of [`a${' '.repeat(15_000)}b`, 'a,'.repeat(7_000), ','.repeat(15_000)]) {
    const answer = await asked(port, handshake([`Sec-WebSocket-Protocol: ${list}`]))
    isError(t, answer, 426, 'upgrade_not_supported')
  }
})

t.test('nothing that can take it: 503 or 404 before any 101', async (t) => {
  // Fails without the call of `refusal` in `mayUpgrade`: 101, and then a close code.
  const upstream = await echoUpstream(t)
  const { url } = upstream
  for (const [status, code, more] of [
    [503, 'upstream_starting', { probe: 'active' }],
    [503, 'no_eligible_upstream', { intent: 'disabled' }],
    [503, 'no_eligible_upstream', { intent: 'draining' }],
    [404, 'not_found', { engine: 'ollama' }],
    [404, 'not_found', { engine: 'llamacpp' }],
    [404, 'not_found', { engine: 'sglang' }],
  ] as const) {
    const { port, events } = await realtimeGate(t, [{ url, ...more }])
    const answer = await asked(port, handshake())
    isError(t, answer, status, code)
    if (status === 503) t.match(answer?.headers['retry-after'], /^\d+$/)
    else t.match(answer?.body, /engines that have it: vllm, vllm_metal, openai\./)
    t.match(events, [{ type: 'refused', path: '/v1/realtime', code }])
  }
  t.equal(upstream.requests.length, 0)
})

t.test('the first servable upstream that may have the route, under its cap', async (t) => {
  const [lame, first, second] = await Promise.all([
    echoUpstream(t),
    echoUpstream(t),
    echoUpstream(t),
  ])
  const gate = await realtimeGate(t, [
    { name: 'ollama', engine: 'ollama', url: lame.url },
    { name: 'out', url: lame.url, intent: 'disabled' },
    { name: 'one', url: first.url, maxConcurrency: 1 },
    { name: 'two', url: second.url, engine: 'openai', maxConcurrency: 1 },
  ])
  const socket = await gate.client()
  await gate.client()
  await until(() => first.requests.length === 1 && second.requests.length === 1)
  t.equal(lame.requests.length, 0)
  t.same([gate.leases.count('one'), gate.leases.count('two')], [1, 1])
  isError(t, await asked(gate.port, handshake()), 503, 'queue_full')
  socket.close()
  await until(() => gate.leases.count('one') === 0)
  await gate.client()
  await until(() => first.requests.length === 2)
})

t.test('no new socket while the gate goes down', async (t) => {
  const { port, realtime } = await echoGate(t)
  realtime.close()
  isError(t, await asked(port, handshake()), 503, 'gate_draining')
})

t.test('RFC 9110 §7.8 h2c is ignored: served, and the connection stays', async (t) => {
  // Fails with 426 without the line about h2c in `upgradeFault`; Java's HttpClient sends this.
  const { port } = await echoGate(t)
  const lines = ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAEAAEAA']
  const client = new RawClient(port)
  for (const [method, target] of [
    ['GET', '/v1/realtime'],
    ['GET', '/v1/anything'],
    ['POST', '/v1/files'],
  ] as const) {
    client.send(request(method, target, { lines, ...(method === 'POST' ? { body: '{}' } : {}) }))
    t.match(await client.answer(), { status: 200, body: 'plain' }, target)
  }
  t.ok(await client.isUsable())
  client.destroy()
})

t.test('a plain request to the path goes by the forwarder', async (t) => {
  // Fails if the plugin's own handler is reached: reply-from would send it to no upstream.
  const { upstream, port } = await echoGate(t)
  for (const method of ['GET', 'HEAD', 'POST', 'DELETE']) {
    const how = { head: method === 'HEAD' }
    t.equal((await ask({ port }, request(method, '/v1/realtime?x=1'), how))?.status, 200, method)
  }
  t.equal(upstream.requests.length, 0)
})

const guard = () =>
  ({ ok: true, path: '/v1/realtime', query: '', cors: {}, via: '', upgrade: true }) as const

t.test('without anything that takes sockets, the path has none', async (t) => {
  const { port } = await start(t, { guard })
  isError(t, await asked(port, handshake()), 426, 'upgrade_not_supported')
})

/** Takes each upgrade and does with it what `take` does. */
function taking(take: Upgrades['take']): Upgrades {
  return { refusal: () => null, take, close: async () => {}, cut: () => {} }
}
t.test('a client resets an upgraded socket that nobody listens to: the gate lives', async (t) => {
  // Fails with an uncaught ECONNRESET without the listener in `upgraded`.
  let taken = 0
  const upgrades = taking(({ socket }) => {
    taken += 1
    socket.resume()
  })
  const { port } = await start(t, { guard, upgrades })
  const crashes = await crashesDuring(async () => {
    const client = new RawClient(port).send(handshake())
    await until(() => taken === 1)
    client.socket.resetAndDestroy()
  })
  t.same(crashes, [])
})

t.test('a bug of whoever takes a connection over is answered, and closes it', async (t) => {
  // Fails without the `try` in `serve`: nothing of the plugin's catches it.
  const upgrades = taking(() => {
    throw new Error('secret-canary')
  })
  const { port, events } = await start(t, { guard, upgrades })
  const client = new RawClient(port).send(handshake())
  isError(t, await client.answer(), 500, 'internal_error')
  t.ok(await client.isClosed())
  t.match(events, [{ type: 'bug' }, { type: 'refused', code: 'internal_error' }])
})

t.test("Node's own WebSocket, the client of a browser, works", async (t) => {
  const { upstream, port, leases } = await echoGate(t)
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/realtime`, ['realtime'])
  await once(socket, 'open')
  t.equal(socket.protocol, 'realtime')
  socket.send('hello')
  const [event] = (await once(socket, 'message')) as [MessageEvent]
  t.equal(event.data, 'hello')
  const other = upstream.sockets[0]
  if (other === undefined) throw new Error('no socket')
  const heard = closed(other)
  socket.close(4001, 'enough')
  t.same(await heard, { code: 4001, reason: 'enough' })
  await until(() => leases.total === 0)
})
