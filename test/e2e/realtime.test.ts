import { once } from 'node:events'
import { createServer } from 'node:http'
import t from 'tap'
import {
  closed,
  echoUpstream,
  handshake,
  listening,
  openSocket,
  reset,
  until,
} from '../proxy/realtime/gate.ts'
import { crashesDuring, isError, RawClient } from '../support/raw.ts'
import { startGate } from '../support/start-gate.ts'

// Goal: WebSockets through the whole gate: routing, keys, leases, log line, drain.
// Method: the gate as a user has it; upstreams with GENGATE_<NAME>_PROBE=off count as eligible.

t.test('/v1/realtime: echo, close codes, big frames, and a reset', async (t) => {
  const upstream = await echoUpstream(t)
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: `a=${upstream.url}`,
    GENGATE_A_PROBE: 'off',
    GENGATE_A_API_KEY: 'upstream-key',
    GENGATE_API_KEYS: 'gate-key',
  })
  const authorization = 'Bearer gate-key'
  const raw = new RawClient(gate.port).send(handshake())
  isError(t, await raw.answer(), 401, 'invalid_api_key')
  raw.destroy()

  const socket = await openSocket(t, gate.port, { headers: { authorization } })
  const sent = Buffer.alloc(8 << 20, 7)
  socket.send(sent)
  t.ok(((await once(socket, 'message'))[0] as Buffer).equals(sent), '8 MiB there and back')
  t.equal(upstream.requests[0]?.headers.authorization, 'Bearer upstream-key')
  t.match(upstream.requests[0]?.headers.via, /^1\.1 gengate-/)
  socket.close(4000, 'enough')
  t.same(await closed(socket), { code: 4000, reason: 'enough' })
  await until(() => gate.lines.some((line) => line.includes('/v1/realtime')))

  const crashes = await crashesDuring(async () => {
    const other = await openSocket(t, gate.port, { headers: { authorization } })
    await until(() => upstream.server.clients.size === 1)
    reset(other)
    await until(() => upstream.server.clients.size === 0)
  })
  t.same(crashes, [])
  t.equal((await fetch(`${gate.url}/livez`)).status, 200, 'the gate lives')
})

t.test('an upstream that turns sockets down stays eligible for the rest', async (t) => {
  // Fails if a 403 counted as evidence: FastAPI answers it where a server has no such route.
  const server = createServer((_request, response) => response.writeHead(403).end())
  const url = await listening(t, server)
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${url}`, GENGATE_A_PROBE: 'off' })
  const before = gate.reason('a')
  const raw = new RawClient(gate.port).send(handshake())
  const answer = await raw.answer()
  isError(t, answer, 502, 'upstream_protocol_error')
  t.match(answer?.body, '403')
  t.equal(gate.reason('a'), before)
})

t.test('close(): sockets hear 1001 and the gate ends', async (t) => {
  const upstream = await echoUpstream(t)
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: `a=${upstream.url}`,
    GENGATE_A_PROBE: 'off',
  })
  const socket = await openSocket(t, gate.port)
  const heard = closed(socket)
  await gate.close()
  t.match(await heard, { code: 1001 })
})
