import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { guardPolicy } from '../../src/door/access.ts'
import { checkRequest } from '../../src/door/guards.ts'
import { ask, codeOf, codeWith, lines, OPEN, SETTINGS } from './guard-ask.ts'

// Rows of docs/bad-input.md that are shown here: B33, B34, method-of-a-generation,
// slash-after-a-route.

t.test('checkRequest passes an ordinary request on, canonical', async (t) => {
  t.strictSame(ask({ url: '/%761/chat/completions?a=1' }), {
    ok: true,
    path: '/v1/chat/completions',
    query: '?a=1',
    cors: { vary: 'Origin' },
    via: '1.1 gengate-me',
  })
  t.equal(codeOf({ url: '/v1/%252e%252e/metrics' }), 'bad_path')
})

/** Paths where a generation is asked for. */
const GENERATIONS = ['/v1/chat/completions', '/v1/chat/completions/', '/v1/messages', '/rerank']

t.test('checkRequest B20: methods', async (t) => {
  const allow = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'
  for (const url of ['/v1/whatever', '/v1/files/x', '/metrics']) {
    for (const method of ['TRACE', 'CONNECT', 'QUERY', 'PROPFIND', 'X', 'post', '']) {
      const refusal = { code: 'method_not_allowed', headers: { allow } }
      t.match(ask({ method, url }), refusal, `${method} ${url}`)
    }
  }
  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE']) {
    for (const url of ['/v1/models', '/v1/responses/x', '/v1/whatever', '/v1/files/x']) {
      t.equal(codeOf({ method, url }), 'ok', `${method} ${url} is the upstream's to answer`)
    }
    for (const url of GENERATIONS) {
      const refusal = { code: 'method_not_allowed', headers: { allow: 'POST, OPTIONS' } }
      t.match(ask({ method, url }), refusal, `${method} ${url} has no lane`)
    }
  }
})

const upgrade = (protocol: string, ...more: string[]) =>
  lines('Connection: keep-alive, Upgrade', `Upgrade: ${protocol}`, ...more)

t.test('checkRequest B32–B35: Expect, Upgrade and other things between hops', async (t) => {
  t.equal(codeWith('Expect', '100-Continue'), 'ok')
  for (const value of ['y 100-continue', '100-continue, x', '200-ok', '']) {
    t.equal(codeWith('Expect', value), 'expectation_failed', value)
  }
  for (const protocol of ['websocket', 'h2c, websocket', 'tls/1.0']) {
    for (const method of ['GET', 'POST']) {
      const headers = upgrade(protocol)
      t.equal(codeOf({ method, url: '/v1/realtime', headers }), 'upgrade_not_supported', protocol)
    }
  }
  t.equal(codeOf({ headers: upgrade('h2c') }), 'ok', 'Java offers it always, and it is ignored')
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
  const headers = upgrade('WebSocket', 'Sec-WebSocket-Version: 13', key)
  t.match(ask({ method: 'GET', url: '/v1/realtime?x', headers }), { ok: true, upgrade: true })
  t.equal(codeOf({ method: 'GET', url: '/v1/models', headers }), 'upgrade_not_supported')
  t.equal(codeWith('Upgrade', 'websocket'), 'ok', 'without Connection it means nothing')
  for (const name of ['Keep-Alive', 'Proxy-Connection', 'Proxy-Authorization', 'TE']) {
    t.equal(codeWith(name, 'x'), 'ok', name)
  }
})

const JSON_TYPES = `application/json|Application/JSON|application/json; charset=utf-8
|application/json;charset=UTF-8|application/json; charset="utf-8"|application/json ; charset=utf-8
|application/json;|application/json; |application/json; charset=utf-8;|application/json;charset=utf8
|application/json; charset="UTF8"|application/json;\tcharset=utf-8|application/json\t;\tcharset=utf-8\t`
const OTHER_TYPES = `|text/plain|application/x-www-form-urlencoded|multipart/form-data; boundary=x
|application/json;charset=latin1|application/json; charset=utf-16|application/json;x=y|*/*|text/json
|application/json; charset=utf-8; charset=latin1|application/json;charset=utf-8;boundary=x
|\tapplication/json| application/json|application/json\ta|application/json\0
|"application/json"|application/json, text/plain|application/json,|application/json<script>
|application/json/extra|application/jsonp|application/json+x|application/ld+json|application/json;;
|application/json; charset=|__proto__|constructor|application/json;charset=utf88|application/json;charset="utf-8
|application/json; charset='utf-8'`

t.test('checkRequest B24, B25: the content type, in every spelling', async (t) => {
  for (const type of JSON_TYPES.replaceAll('\n', '').split('|'))
    t.equal(codeWith('Content-Type', type), 'ok', type)
  for (const type of OTHER_TYPES.replaceAll('\n', '').split('|')) {
    t.equal(codeWith('Content-Type', type), 'unsupported_media_type', JSON.stringify(type))
  }
  t.equal(codeWith('Content-Type', null), 'unsupported_media_type', 'none')
  const elsewhere = { url: '/api/chat', headers: [['Content-Type', 'text/plain']] } as const
  t.equal(codeOf(elsewhere), 'ok', 'a path without a route gets its own helpful answer')
})

const MULTIPART = 'multipart/form-data; boundary=x'

const typed = (url: string, type: string | null, method = 'POST'): string =>
  codeOf({ method, url, headers: [...lines('Content-Length: 5'), ['Content-Type', type]] })

t.test('checkRequest B24: JSON alone for generations, any type elsewhere', async (t) => {
  const types = [MULTIPART, 'application/octet-stream', 'text/plain', '', null]
  const files = ['/v1/audio/transcriptions', '/v1/files', '/v1/uploads/x/parts', '/v1/images/edits']
  for (const url of [...files, '/v1/whatever', '/v1/videos', '/v1/responses/x/cancel']) {
    for (const type of types) t.equal(typed(url, type), 'ok', `${url} ${type}`)
  }
  for (const url of GENERATIONS) {
    for (const type of types) t.equal(typed(url, type), 'unsupported_media_type', `${url} ${type}`)
    t.equal(typed(url, 'application/json'), 'ok', url)
  }
  for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) {
    t.equal(typed('/v1/whatever', 'text/plain', method), 'ok', method)
  }
  t.equal(codeWith('Content-Type', null), 'unsupported_media_type', 'a generation has a body')
})

t.test('checkRequest: a slash after a known path is the path', async (t) => {
  for (const path of ['/v1/chat/completions', '/rerank', '/health', '/metrics', '/v1/models']) {
    t.match(ask({ url: `${path}/?a=1` }), { ok: true, path, query: '?a=1' }, path)
  }
  for (const path of ['/v1/whatever/', '/v1/files/', '/gate/', '/', '/api/']) {
    t.match(ask({ url: path }), { ok: true, path }, `${path} is for the upstream to read`)
  }
  t.equal(codeOf({ url: '/v1/chat/completions//' }), 'bad_path')
  const locked = guardPolicy({ ...SETTINGS, keys: ['k'], operatorNeedsKey: true })
  for (const url of ['/metrics/', '/v1/models/', '/gate/status/']) {
    t.equal(codeOf({ method: 'GET', url, policy: locked }), 'invalid_api_key', url)
  }
})

t.test('checkRequest B53: compressed bodies', async (t) => {
  for (const coding of ['gzip', 'br', 'zstd', 'gzip, gzip', 'x', '']) {
    t.equal(codeWith('Content-Encoding', coding), 'unsupported_content_encoding', coding)
  }
  t.equal(codeWith('Content-Encoding', 'Identity'), 'ok')
})

t.test('checkRequest B68: loops', async (t) => {
  t.equal(codeWith('Via', '1.1 gengate-me'), 'loop_detected')
  t.equal(codeWith('Via', '1.1 gengate-other'), 'ok')
})

t.test('checkRequest B36, B37: other headers decide nothing', async (t) => {
  const names = 'X-Forwarded-Host X-Forwarded-Proto Forwarded X-Original-URL X-Rewrite-URL'
  for (const name of [...names.split(' '), '__proto__', 'constructor', 'toString']) {
    t.equal(codeWith(name, 'evil.example'), 'ok', name)
    const headers = lines(`${name}: localhost`, 'Host: evil.example')
    t.equal(codeOf({ headers }), 'host_not_allowed', name)
  }
})

t.test('checkRequest reads what node really gives', async (t) => {
  const server = createServer((request, response) => {
    const result = checkRequest(request, OPEN)
    response.end(result.ok ? `ok ${result.path}` : result.code)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  const send = async (head: string): Promise<string> => {
    const socket = connect(port, '127.0.0.1')
    socket.end(`${head}\r\nConnection: close\r\n\r\n`)
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    return text.split('\r\n\r\n')[1] ?? ''
  }
  t.match(await send('GET /v1/models HTTP/1.1\r\nHost: localhost'), /ok \/v1\/models/)
  t.match(await send('GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil'), /bad_framing/)
  t.match(await send('GET http://evil.example/v1 HTTP/1.1\r\nHost: localhost'), /host_not_allowed/)
  t.match(await send('GET /v1/%252e%252e/metrics HTTP/1.1\r\nHost: localhost'), /bad_path/)
  t.match(await send('OPTIONS * HTTP/1.1\r\nHost: localhost'), /ok \*/)
  t.match(await send('GET / HTTP/1.1\r\nHost: localhost\r\n__proto__: x'), /ok \//)
})
