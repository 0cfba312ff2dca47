// Goal: the guards come first, bodies reach the proxy untouched, and every ending has our shape.
// Method: real sockets, raw bytes, fake rooms.

import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { codeOf, get, parse, pass, raw, send, start } from './start-server.ts'
import type { Handed } from '../../src/core/exchange/exchange.ts'
import { Door, type DoorParts } from '../../src/door/door.ts'
import t from 'tap'

t.test('the canonical path alone says whose a request is', async (t) => {
  const { port } = await start(t)
  t.equal((await get(port, '/%6detrics')).status, 404, 'means /metrics to a router that decodes')
  t.equal((await get(port, '/%761/chat')).status, 404)
  const absolute = await get(port, 'http://a/livez')
  t.equal(absolute.status, 200, 'absolute form')
  const broken = await get(port, '/v1/%zz')
  t.equal(codeOf(broken), '400 bad_path')
  t.match(broken.headers['x-request-id'], /./)
})

t.test('a guard that refuses keeps every route shut, known or not', async (t) => {
  let proxied = 0
  const { port, events } = await start(t, {
    guard: () => ({
      ok: false,
      code: 'host_not_allowed',
      detail: 'x',
      headers: { vary: 'Origin' },
    }),
    proxy: () => void proxied++,
  })
  for (const path of ['/livez', '/metrics', '/v1/chat/completions', '/nope', '/v1/%zz']) {
    const got = await get(port, path)
    t.equal(codeOf(got), '421 host_not_allowed', path)
    t.match(got.headers, { vary: 'Origin', 'x-should-retry': 'false' })
  }
  t.equal(proxied, 0)
  t.equal(events.length, 5)
  await get(port, '/v1/x?key=canary')
  t.match(events.at(-1), { type: 'refused', path: '/v1/x', status: 421 })
})

t.test("a route of the gate's own answers GET and HEAD, and whoever errs is told", async (t) => {
  const { port, events } = await start(t)
  for (const path of ['/livez', '/metrics', '/v1/models/x', '/v1/models/org/name']) {
    const got = await get(port, path)
    t.equal(got.status, 200, path)
    t.match(got.headers['x-request-id'], /^[0-9a-f-]{36}$/, path)
    const head = await send(port, `HEAD ${path}`)
    t.match(head, { status: 200, body: /^$/ }, 'HEAD has no body')
    t.equal(head.headers['content-length'], got.headers['content-length'])
    for (const method of ['POST', 'DELETE', 'OPTIONS']) {
      const refused = await send(port, `${method} ${path}`)
      t.match(refused, { status: 405, headers: { allow: 'GET, HEAD' } }, method)
    }
  }
  t.equal(events.filter((event) => event.type === 'refused').length, 12, 'the 405, no more')
  t.equal((await get(port, '/v1/models')).status, 503)
  t.match(events.at(-1), { type: 'refused', path: '/v1/models', code: 'no_eligible_upstream' })
  t.equal((await get(port, '/v1/models/')).status, 404, 'a route may know of nothing there')
})

t.test('a request under /v1 reaches the proxy whole, whatever its type and method', async (t) => {
  const seen: { method: string; body: string; handed: Handed }[] = []
  const { port } = await start(t, {
    proxy: async (request, response, handed) => {
      let body = ''
      for await (const chunk of request) body += String(chunk)
      seen.push({ method: request.method ?? '', body, handed })
      response.end('ok')
    },
  })
  const path = '/v1/chat/completions'
  for (const method of ['POST', 'PUT', 'QUERY', 'PROPFIND', 'TRACE', 'DELETE']) {
    for (const type of ['application/json', ';;;', 'text/plain; charset=latin1']) {
      const more = `content-type: ${type}\r\ncontent-length: 5\r\nx-request-id: mine-1\r\n`
      const head = `${method} ${path}?a=b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${more}`
      await raw(port, `${head}\r\n{"a":`)
      const handed = { requestId: 'mine-1', path, query: '?a=b', cors: {}, via: 'me' }
      t.strictSame(seen.pop(), { method, body: '{"a":', handed })
    }
  }
})

t.test('Expect: 100-continue is answered with 100, then served', async (t) => {
  const { port } = await start(t, {
    proxy: async (request, response) => {
      let size = 0
      for await (const chunk of request) size += (chunk as Buffer).length
      response.end(String(size))
    },
  })
  const socket = connect(port, '127.0.0.1')
  const more = 'expect: 100-continue\r\ncontent-length: 3\r\n\r\n'
  socket.write(`POST /v1/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${more}`)
  let text = ''
  for await (const chunk of socket) {
    if (text === '') socket.write('abc')
    text += String(chunk)
  }
  t.match(text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/)
  t.match(text, /3\r\n0\r\n\r\n$|\r\n\r\n3$/)
})

t.test('preflights are answered for allowed origins only, OPTIONS * always', async (t) => {
  const cors = { 'access-control-allow-origin': 'https://mine.example', vary: 'Origin' }
  const { port } = await start(t, {
    guard: (request) =>
      request.headers.origin === undefined
        ? pass(request)
        : { ok: true, path: request.url ?? '', query: '', cors, via: '' },
    proxy: (_request, response) => void response.writeHead(405).end(),
  })
  const [chat, origin] = ['OPTIONS /v1/chat/completions', 'origin: https://mine.example\r\n']
  const preflight = await send(port, chat, origin)
  t.match(preflight, { status: 204, headers: cors })
  t.notOk('content-length' in preflight.headers)
  t.equal((await send(port, chat)).status, 405)
  const star = await send(port, 'OPTIONS *')
  t.equal(star.status, 204)
  t.notOk('access-control-allow-origin' in star.headers)
  t.match((await get(port, '/v1/models', origin)).headers, cors)
})

const bug = (): never => {
  throw new Error('secret-canary')
}

t.test('a bug answers 500 without its message, or destroys what has begun', async (t) => {
  const { port, events } = await start(t, {
    routes: { '/gate/status': bug, '/metrics': async () => bug() },
    proxy: (request, response) => {
      if (request.url === '/v1/begun') response.writeHead(200, { 'content-length': '9' }).write('x')
      bug()
    },
  })
  for (const path of ['/gate/status', '/metrics', '/v1/x']) {
    const got = await get(port, path)
    t.equal(codeOf(got), '500 internal_error', path)
    t.notMatch(got.body, 'canary')
  }
  const begun = parse(await raw(port, 'GET /v1/begun HTTP/1.1\r\nhost: a\r\n\r\n').catch(() => ''))
  t.not(begun.body, '9 bytes', 'cut')
  t.equal(events.filter((event) => event.type === 'bug').length, 4)
  const got = await get((await start(t, { guard: bug })).port, '/v1/x')
  t.equal(got.status, 500)
  t.notMatch(got.body, 'canary')
})

t.test('an upgraded connection that nobody takes over in this turn is closed', async (t) => {
  // Fails without the microtask in `upgraded`: it stays open for ever.
  const door = new Door({ routes: {} } as unknown as DoorParts)
  const socket = new PassThrough()
  socket.write('a refusal')
  door.upgraded({} as IncomingMessage, socket as unknown as Socket, Buffer.alloc(0))
  await Promise.resolve()
  t.equal(socket.writableEnded, true)
  await once(socket, 'close')
  t.equal(socket.writableLength, 0, 'what was written has gone out')
  socket.emit('error', new Error('reset'))
})
