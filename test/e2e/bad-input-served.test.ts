import t from 'tap'
import {
  ask,
  askMore,
  chat,
  CHAT,
  crashesDuring,
  get,
  GOOD,
  isError,
  isSound,
  JSON_LINE,
  RawClient,
  request,
  startPair,
} from '../support/raw.ts'

// Goal: what is odd and yet has one reading is served, byte for byte and under clean headers; what
// follows it on the connection is nobody's tunnel; nothing ends the process.
// Method: raw sockets against a gate with an upstream behind it.

const pair = await startPair(t, { GENGATE_BODY_MAX_BYTES: String(4 * 1024 * 1024) })
const { gate, upstream } = pair
const own = `127.0.0.1:${gate.port}`
const CHUNKED = 'Transfer-Encoding: chunked'
const CONNECT = 'CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n'
const M = '"model":"m"'
const head = (...lines: string[]): string => request('POST', CHAT, { lines: [JSON_LINE, ...lines] })
const to = (target: string): string => request('POST', target, { lines: [JSON_LINE], body: GOOD })
const ofClients = (from = 0) =>
  upstream.generations.slice(from).filter(({ headers }) => headers.via !== undefined)

/** What the upstream got of a request that is served, and under which headers. */
async function passed(
  t: Parameters<typeof askMore>[0],
  bytes: string,
): Promise<{ url: string; body: string; headers: Record<string, unknown> }> {
  const before = upstream.generations.length
  const answer = await askMore(t, gate, bytes)
  t.equal(answer?.status, 200, answer?.body ?? '')
  t.equal(answer?.headers['x-gengate-upstream'], 'a', 'by the gate, through its own forwarder')
  const seen = ofClients(before)
  t.equal(seen.length, 1)
  return seen[0] ?? { url: '', body: '', headers: {} }
}

t.test('B09 chunk extensions of more than 16 KiB in total do not grow memory', async (t) => {
  const many = `1;a=${'b'.repeat(9_000)}\r\n \r\n`.repeat(200)
  const answer = await ask(gate, `${head(CHUNKED)}${many}2\r\n{}\r\n0\r\n\r\n`)
  t.ok([200, 400].includes(answer?.status ?? 0), 'served or refused, and not waited for')
})

t.test('B10 trailers are dropped, the body is served', async (t) => {
  const trailers =
    'Host: evil.example\r\nAuthorization: Bearer trailing\r\nX-Request-Id: trailing\r\n'
  const body = `${GOOD.length.toString(16)}\r\n${GOOD}\r\n0\r\n${trailers}\r\n`
  const seen = await passed(t, head('Trailer: Host, Authorization', CHUNKED) + body)
  t.notMatch(JSON.stringify(seen), /evil|trailing|"trailer"/)
})

t.test('B11 what follows a body cut short by its length is no request', async (t) => {
  const client = new RawClient(gate.port).send(`${head('Content-Length: 1')}{}${get('/metrics')}`)
  isError(t, await client.answer(), 400, 'invalid_json')
  isError(t, await client.answer(), 400, 'bad_framing')
  t.ok(await client.isClosed())
  t.equal(client.rest, '', 'nobody asked for metrics')
})

t.test('B12 pipelined requests are answered in order, sixteen at once', async (t) => {
  const client = new RawClient(gate.port)
  for (let i = 0; i < 100; i++) client.send(chat({ lines: [`X-Request-Id: pipelined-${i}`] }))
  for (let i = 0; i < 16; i++) {
    t.equal((await client.answer())?.headers['x-request-id'], `pipelined-${i}`)
  }
  isError(t, await client.answer(), 400, 'too_many_pipelined')
  t.ok(await client.isClosed(), 'what came after it is not answered')
})

t.test('B12 pipelined streams stop when their client leaves', async (t) => {
  Object.assign(upstream.options, { tokens: 100_000, gapMs: 2 })
  const before = upstream.generations.length
  const client = new RawClient(gate.port)
  client.send(chat({ body: GOOD.replace('{', '{"stream":true,') }).repeat(4))
  await gate.until(() => ofClients(before).length === 4)
  await new Promise((resolve) => setTimeout(resolve, 200))
  client.destroy()
  await gate.until(() => ofClients(before).every(({ ended }) => ended?.how === 'cut'), 2_000)
  Object.assign(upstream.options, { tokens: 3, gapMs: 0 })
  t.equal(ofClients(before).length, 4)
})

t.test('B13 HTTP/1.0 without Host is served and closed', async (t) => {
  const client = new RawClient(gate.port).send('GET /livez HTTP/1.0\r\n\r\n')
  t.equal((await client.answer())?.status, 200)
  t.ok(await client.isClosed())
})

t.test('B20 a reset after CONNECT does not end the process', async (t) => {
  const crashes = crashesDuring(async () => {
    // The reset must come between our reading the request and our answering it.
    for (let i = 0; i < 40; i++) {
      const client = new RawClient(gate.port)
      await new Promise((resolve) => client.socket.once('connect', resolve))
      client.send(CONNECT)
      for (let hop = 0; hop < i % 8; hop++) await new Promise(setImmediate)
      client.socket.resetAndDestroy()
    }
  })
  t.strictSame(await crashes, [])
})

t.test('B20 a reset after CONNECT behind a running answer does not end the process', async (t) => {
  upstream.options.ttftMs = 300
  const before = pair.forwarded().length
  const crashes = await crashesDuring(async () => {
    const client = new RawClient(gate.port).send(`${chat()}${CONNECT}`)
    await gate.until(() => pair.forwarded().length > before)
    client.socket.resetAndDestroy()
    await new Promise((resolve) => setTimeout(resolve, 400))
  })
  upstream.options.ttftMs = 0
  t.strictSame(crashes, [])
})

for (const [name, bytes] of [
  ['B17 Host localhost', chat({ host: 'localhost' })],
  ['B17 Host LOCALHOST with a port', chat({ host: `LOCALHOST:${gate.port}` })],
  ['B17 Host [::1]', chat({ host: '[::1]:8000' })],
  ['B17 Host host.docker.internal', chat({ host: 'host.docker.internal:8000' })],
  ['B18 absolute form with our authority', to(`http://${own}${CHAT}`)],
  ['B18 absolute form, HTTP:// in capitals', to(`HTTP://LOCALHOST${CHAT}`)],
  ['B19 absolute form that names the upstream', to(`http://127.0.0.1:${upstream.port}${CHAT}`)],
  ['B28 escaped letters', to('/%76%31/chat/completions')],
] as const) {
  t.test(`${name} is served`, async (t) => {
    t.equal((await passed(t, bytes)).url.split('?')[0], CHAT)
  })
}

t.test('B21 OPTIONS * and preflights of strangers give no page anything', async (t) => {
  const POST = 'Access-Control-Request-Method: POST'
  const page = [
    'Origin: https://evil.example',
    POST,
    'Access-Control-Request-Private-Network: true',
  ]
  for (const [status, target, how] of [
    [204, '*', {}],
    [403, CHAT, { lines: page }],
    [403, '*', { lines: ['Origin: null'] }],
    [405, CHAT, { lines: [POST] }],
    [405, '/v1/files/x', {}],
    [405, '/rerank', { lines: [JSON_LINE], body: GOOD }],
    [405, '/metrics', {}],
    [404, '/nothing', {}],
  ] as const) {
    const answer = await askMore(t, gate, request('OPTIONS', target, how))
    t.equal(answer?.status, status, target)
    t.notMatch(JSON.stringify(answer?.headers), /access-control-allow/)
    t.match(answer?.headers['x-request-id'], /./)
  }
})

t.test('B35 what follows an upgrade that was refused is no tunnel', async (t) => {
  const key = ['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13']
  const asked = get('/v1/models', ['Connection: Upgrade', 'Upgrade: websocket', ...key])
  const client = new RawClient(gate.port).send(`${asked}\x81\x85\x00\x00\x00\x00hello`)
  isError(t, await client.answer(), 426, 'upgrade_not_supported')
  const next = await client.answer({ limitMs: 2_000 })
  t.ok(next === null || next.status === 400, 'they may be refused once more, never answered')
  t.ok(await client.isClosed(2_000), 'nobody waits for what was swallowed')
})

t.test('of the 24 of Host, Origin, type and method one reaches the upstream', async (t) => {
  const before = pair.forwarded().length
  let wanted = 0
  for (const host of ['127.0.0.1', 'evil.example'])
    for (const from of [null, 'https://evil.example', 'null'])
      for (const type of [JSON_LINE, 'Content-Type: text/plain'])
        for (const method of ['POST', 'GET']) {
          const lines = [type, ...(from === null ? [] : [`Origin: ${from}`])]
          const answer = await ask(gate, request(method, CHAT, { host, lines, body: GOOD }))
          const ours = host === '127.0.0.1' && from === null
          const good = ours && type === JSON_LINE && method === 'POST'
          if (good) wanted++
          const what = `${host} ${from} ${type} ${method} ${answer?.status}`
          t.ok((good ? [200] : [403, 405, 415, 421]).includes(answer?.status ?? 0), what)
          t.equal(pair.forwarded().length, before + wanted, what)
          t.notOk(answer?.headers['access-control-allow-origin'])
        }
  t.equal(wanted, 1)
})

t.test('B68 a request that has been here, or through six gates, is a loop', async (t) => {
  const status = await fetch(`${gate.url}/gate/status`)
  const { instance } = (await status.json()) as { instance: string }
  const before = pair.forwarded().length
  const many = Array.from({ length: 6 }, (_, i) => `1.1 gengate-${i}`).join(', ')
  for (const via of [`1.1 gengate-${instance}`, `1.0 a, 1.1 gengate-${instance}, 1.1 b`, many])
    for (const lines of [[`Via: ${via}`], ['Via: 1.1 c', `Via: ${via}`]]) {
      isError(t, await askMore(t, gate, chat({ lines })), 508, 'loop_detected')
    }
  t.equal(pair.forwarded().length, before)
})

for (const [name, text] of [
  ['B42 a lone surrogate as an escape', `{${M},"a":"\\ud800"}`],
  ['B44 duplicate messages', `{${M},"messages":[],"messages":[1]}`],
  ['B45 duplicate keys deeper', `{${M},"a":{"b":1,"b":2,"model":"x"}}`],
  ['B46 __proto__', `{${M},"__proto__":{"x":1},"constructor":{"prototype":{"x":1}}}`],
  ['B49 numbers', `{${M},"a":1e400,"seed":12345678901234567890,"b":-0,"c":1E5,"d":0.10}`],
  ['B56 stream null', `{${M},"stream":null}`],
  ['B57 absurd', `{${M},"n":1000000,"max_tokens":-1,"best_of":1e9,"logit_bias":{"1":1e9}}`],
  [
    'B58 fields that would be a destination elsewhere',
    `{${M},"adapters":"/x","draft_model":"y","api_base":"http://evil.example","base_url":"http://evil.example","extra_headers":{"Authorization":"Bearer x"}}`,
  ],
  [
    'B59 addresses of pictures',
    `{${M},"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://169.254.169.254/x"}},{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}]}`,
  ],
  ['B49 white space and key order', `\r\n\t {"z" : 1 , ${M} ,\n"a":2 }\r\n `],
] as const) {
  t.test(`${name} arrives byte for byte`, async (t) => {
    t.equal((await passed(t, chat({ body: text }))).body, text)
    t.notOk('x' in {}, 'no prototype was changed')
  })
}

for (const [name, text, wanted] of [
  ['B44 the last', '{"model":"nope","model":"default"}', '{"model":"nope","model":"m"}'],
  ['B44 escaped', '{"model":"nope","mod\\u0065l":"default"}', '{"model":"nope","mod\\u0065l":"m"}'],
  [
    'B44 the last, also of two streams',
    '{"model":{"model":"nope"},"model":"default","stream":true,"stream":false}',
    '{"model":{"model":"nope"},"model":"m","stream":true,"stream":false}',
  ],
  ['B54 none', '{}', '{"model":"m"}'],
  ['B54 none beside others', '{"a":1}', '{"model":"m","a":1}'],
  ['B54 an empty one', '{"model":""}', '{"model":"m"}'],
  ['B54 null', '{"model":null}', '{"model":"m"}'],
] as const) {
  t.test(`${name}: the model that counts, for the gate as for JSON`, async (t) => {
    t.equal((await passed(t, chat({ body: text }))).body, wanted)
    t.equal((JSON.parse(wanted) as { model: string }).model, 'm')
  })
}

t.test('B25 spellings of application/json in UTF-8 are served', async (t) => {
  for (const value of [
    'application/json',
    'APPLICATION/JSON',
    ' \tapplication/json \t',
    'application/json;charset=utf-8',
    'application/json ; charset=UTF-8',
    'application/json; charset="utf-8"',
    'application/json;',
    'application/json;charset=utf8',
    'application/json\t; charset=utf-8',
    'application/json;\tcharset=utf-8',
  ]) {
    const { body } = await passed(t, chat({ type: `Content-Type: ${value}`, body: `{${M}}` }))
    t.equal(body, `{${M}}`)
  }
})

t.test('B31, B32, B36, B37, B61 of the client only harmless headers arrive', async (t) => {
  const lines = [
    'Connection: content-length, authorization, x-request-id, host, via, accept-encoding',
    'Connection: X-Stainless-Lang',
    'X-Stainless-Lang: js',
    'X-Stainless-OS: Linux',
    'Keep-Alive: 300',
    'Proxy-Connection: keep-alive',
    'Proxy-Authorization: Basic c2VjcmV0',
    'TE: trailers',
    'Upgrade: h2c',
    'X-Forwarded-For: 1.2.3.4',
    'X-Forwarded-Host: evil.example',
    'X-Forwarded-Proto: https',
    'Forwarded: for=1.2.3.4',
    'X-Real-IP: 1.2.3.4',
    'X-Original-URL: /metrics',
    'X-Rewrite-URL: /metrics',
    'X-HTTP-Method-Override: DELETE',
    '__proto__: polluted',
    'constructor: polluted',
    'toString: polluted',
    'hasOwnProperty: polluted',
    'Authorization: Bearer client-key',
    'Api-Key: client-key',
    'X-Api-Key: client-key',
    'Cookie: a=client-key',
    'X-Gengate-Upstream: evil',
    'Accept-Encoding: gzip',
    'Range: bytes=0-1',
    'User-Agent: test/1',
    'X-Request-Id: my-id',
  ]
  const { headers } = await passed(t, chat({ lines, body: `{${M}}` }))
  const harmless = ['accept-encoding', 'connection', 'content-length', 'content-type', 'host']
  const names = [...harmless, 'user-agent', 'via', 'x-request-id', 'x-stainless-os']
  t.strictSame(Object.keys(headers).toSorted(), names)
  t.match(headers, {
    'accept-encoding': 'identity',
    'x-request-id': 'my-id',
    'user-agent': 'test/1',
    host: `127.0.0.1:${upstream.port}`,
    connection: 'keep-alive',
  })
  t.notMatch(JSON.stringify(headers), /client-key|evil|polluted|1\.2\.3\.4/)
})

t.test('B33 a large body with Expect: 100-continue is invited and served', async (t) => {
  const text = `{${M},"a":"${'x'.repeat(2 * 1024 * 1024)}"}`
  const client = new RawClient(gate.port)
  client.send(head('Expect: 100-continue', `Content-Length: ${text.length}`))
  t.equal((await client.answer())?.status, 100)
  client.send(text)
  t.equal((await client.answer())?.status, 200)
  t.ok(pair.forwarded().at(-1) === text)
  client.destroy()
})

t.test('B38 bodies where none is read keep the connection in step', async (t) => {
  const client = new RawClient(gate.port)
  const other = get('/metrics')
  const chunked = request('DELETE', '/v1/files/x', { lines: [CHUNKED] })
  for (const [status, send] of [
    [200, request('GET', '/v1/models', { body: other })],
    [200, request('GET', '/v1/models', { body: other, lines: [JSON_LINE] })],
    // This is the upstream's to answer, and it does not know it.
    [404, `${chunked}5\r\nhello\r\n0\r\n\r\n`],
    [405, request('GET', CHAT, { body: GOOD })],
    [405, request('GET', '/tokenize', { body: GOOD, lines: [JSON_LINE] })],
  ] as const) {
    t.equal((await client.send(send).answer())?.status, status, send.slice(0, 30))
    t.ok(await client.isUsable())
  }
  for (const path of ['/v1/models', '/livez', '/metrics', '/gate/status', '/nothing', '/score']) {
    const answer = await client.send(request('HEAD', path)).answer({ head: true })
    t.ok(Number(answer?.headers['content-length']) > 0, `${path} ${answer?.status}`)
    t.ok(await client.isUsable(), 'no body came')
  }
  const answer = await client.send(request('HEAD', CHAT)).answer({ head: true })
  t.match(answer, { status: 405, headers: { allow: 'POST, OPTIONS' } })
  t.ok(await client.isUsable(), 'no body came')
  client.destroy()
})

t.test('B66 request ids that are no ids are replaced', async (t) => {
  const odd = ['a b', 'a\tb', '\xe9', 'x'.repeat(129), '"', '<script>', 'a\x1b[31m', 'a,b', '']
  for (const id of odd) {
    const answer = await ask(gate, get('/v1/models', [`X-Request-Id: ${id}`]))
    const got = answer?.headers['x-request-id']
    t.ok(got === undefined || /^[0-9a-f-]{36}$/.test(got), JSON.stringify(id))
  }
})

t.test('the gate is sound after all of it', (t) => isSound(t, pair))
