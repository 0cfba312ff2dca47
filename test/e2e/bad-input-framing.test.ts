import t from 'tap'
import {
  chat,
  CHAT,
  get,
  GOOD,
  crashesDuring,
  isError,
  isSound,
  JSON_LINE,
  RawClient,
  refuses,
  request,
  type Row,
  startPair,
} from '../support/raw.ts'

// Rows of docs/bad-input.md that are shown here: method-of-a-generation, unknown-coding-keep-alive.

// Goal: bytes that two HTTP parsers could read in two ways are refused with one of our errors, and
// nothing of them reaches an upstream (bad-input matrix B01–B14, B20, B30).
// Method: raw sockets against a gate with an upstream behind it, one row per input.

const pair = await startPair(t)
const CHUNKED = 'Transfer-Encoding: chunked'
const head = (...lines: string[]) =>
  `POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\n${JSON_LINE}\r\n${lines.map((l) => `${l}\r\n`).join('')}\r\n`
const framing = (name: string, send: string, after: Row['after'] = 'closed'): Row => ({
  name,
  send,
  status: 400,
  code: 'bad_framing',
  after,
})
const chunks = (text: string) => head(CHUNKED) + text

const CONNECT = 'CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n'

refuses(t, pair, [
  framing(
    'B01 Content-Length and Transfer-Encoding',
    `${head('Content-Length: 6', CHUNKED)}0\r\n\r\nX`,
  ),
  framing('B01 the same the other way round', `${head(CHUNKED, 'Content-Length: 6')}0\r\n\r\nX`),
  ...[
    ['different', 'Content-Length: 3', 'Content-Length: 4'],
    ['equal', 'Content-Length: 2', 'Content-Length: 2'],
    ['in one line', 'Content-Length: 27, 27'],
  ].map(([name, ...lines]) => framing(`B02 two lengths, ${name}`, `${head(...lines)}{}`)),
  ...['+27', '-1', '0x1b', '', '18446744073709551616', '1 2', '1_0', '2.0', '١'].map((value) =>
    framing(`B03 Content-Length ${JSON.stringify(value)}`, `${head(`Content-Length: ${value}`)}{}`),
  ),
  ...[
    'Transfer-Encoding: xchunked',
    'Transfer-Encoding: chunked, identity',
    'Transfer-Encoding: chunked, chunked',
    'Transfer-Encoding : chunked',
    'Transfer-Encoding: \x0bchunked',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: identity',
    ' Transfer-Encoding: chunked',
  ].map((line) => framing(`B04 ${JSON.stringify(line)}`, `${head(line)}2\r\n{}\r\n0\r\n\r\n`)),
  {
    name: 'B05 Transfer-Encoding: gzip, chunked',
    send: `${head('Transfer-Encoding: gzip, chunked')}2\r\n{}\r\n0\r\n\r\n`,
    status: 501,
    code: 'unsupported_transfer_coding',
    after: 'closed',
  },
  framing('B06 Transfer-Encoding in HTTP/1.0', chunks('0\r\n\r\n').replace('HTTP/1.1', 'HTTP/1.0')),
  framing(
    'B06 the same with Connection: keep-alive',
    `${head('Connection: keep-alive', CHUNKED).replace('HTTP/1.1', 'HTTP/1.0')}0\r\n\r\n`,
  ),
  ...[
    ['a folded line', 'X-A: b\r\n c'],
    ['a bare LF', 'X-A: b\nX-C: d'],
    ['a bare CR', 'X-A: b\rX-C: d'],
    ['a NUL', 'X-A: b\0c'],
    ['a control character', 'X-A: b\x01c'],
    ['a DEL', 'X-A: b\x7fc'],
  ].map(([name, line]) => framing(`B07 ${name}`, chat({ lines: [String(line)] }))),
  ...[
    ['empty', ': b'],
    ['spaced', 'X A: b'],
    ['with a tab', 'X\tA: b'],
    ['with a space before the colon', 'X-A : b'],
    ['absent', 'XA'],
  ].map(([name, line]) => framing(`B08 header name ${name}`, chat({ lines: [String(line)] }))),
  framing('B09 chunk size with an underscore', chunks('0_2\r\n{}\r\n0\r\n\r\n')),
  framing('B09 chunk size beyond 64 bits', chunks('FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n')),
  framing('B09 negative chunk size', chunks('-2\r\n{}\r\n0\r\n\r\n')),
  framing('B09 chunk size ended by LF', chunks('2\n{}\r\n0\r\n\r\n')),
  framing('B09 chunk data longer than told', chunks('2\r\n{}}\r\n0\r\n\r\n')),
  framing('B09 chunk extension of 64 KiB', chunks(`2;a=${'b'.repeat(65_536)}\r\n{}\r\n0\r\n\r\n`)),
  framing('B13 HTTP/0.9', 'GET /livez\r\n\r\n'),
  framing('B13 HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  framing('B13 HTTP/1.2', get('/livez').replace('HTTP/1.1', 'HTTP/1.2')),
  framing('B13 TLS on a plain port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
  framing('B14 no Host', request('GET', '/livez', { host: null }), 'any'),
  framing('B15 two Host lines', chat({ lines: ['Host: evil.example'] }), 'any'),
  framing('B15 two equal Host lines', chat({ lines: ['Host: 127.0.0.1'] }), 'any'),
  ...['TRACE', 'QUERY', 'PROPFIND'].flatMap((method) =>
    ['/v1/whatever', '/v1/files/x'].map((path): Row => ({
      name: `B20 ${method} ${path}: no route of any upstream has that method`,
      send: request(method, path),
      status: 405,
      code: 'method_not_allowed',
      after: 'usable',
      headers: { allow: /^GET, HEAD, POST, PUT, PATCH, DELETE\b/ },
    })),
  ),
  ...['TRACE', 'PUT', 'PATCH', 'DELETE', 'QUERY', 'PROPFIND', 'GET'].flatMap((method) =>
    [CHAT, `${CHAT}/`, '/v1/messages', '/tokenize', '/v2/rerank'].map((path): Row => ({
      name: `B20 ${method} ${path}: a generation is asked for by POST`,
      send: request(method, path, { lines: [JSON_LINE] }),
      status: 405,
      code: 'method_not_allowed',
      after: 'usable',
      headers: { allow: /^POST/ },
    })),
  ),
  {
    name: 'B20 POST /metrics',
    send: request('POST', '/metrics', { body: '{}', lines: [JSON_LINE] }),
    status: 405,
    code: 'method_not_allowed',
    after: 'usable',
    headers: { allow: /^GET, HEAD/ },
  },
  {
    name: 'B20 CONNECT',
    send: CONNECT,
    status: 405,
    code: 'method_not_allowed',
    after: 'closed',
    headers: { allow: /GET/ },
  },
  // Node's parser knows a closed list of methods; what is not in it is no HTTP to it.
  framing('B20 a method that does not exist', request('FOO', '/livez')),
  framing('B20 a method in lower case', request('get', '/livez')),
  ...[
    ['a path of 20 KB', get(`/v1/${'a'.repeat(20_000)}`)],
    ['a header of 20 KB', chat({ lines: [`X-A: ${'b'.repeat(20_000)}`] })],
    ['3000 headers', chat({ lines: Array.from({ length: 3_000 }, (_, i) => `X-${i}: b`) })],
    [
      '3000 headers and Upgrade',
      get(
        '/v1/models',
        Array.from({ length: 3_000 }, () => 'Upgrade: a'),
      ),
    ],
  ].map(([name, send]): Row => ({
    name: `B30 ${name}`,
    send: String(send),
    status: [414, 431],
    code: 'headers_too_large',
    after: 'closed',
  })),
  {
    name: 'B30 300 short headers',
    send: chat({ lines: Array.from({ length: 300 }, () => 'a: b') }),
    status: 431,
    code: 'headers_too_large',
    after: 'usable',
  },
])

t.test('B09 chunk extensions of more than 16 KiB in total do not grow memory', async (t) => {
  const many = `1;a=${'b'.repeat(9_000)}\r\n \r\n`.repeat(200)
  const client = new RawClient(pair.gate.port).send(`${head(CHUNKED)}${many}2\r\n{}\r\n0\r\n\r\n`)
  const answer = await client.answer()
  t.ok([200, 400].includes(answer?.status ?? 0), 'served or refused, and not waited for')
  client.destroy()
})

t.test('B10 trailers are dropped, the body is served', async (t) => {
  const before = pair.upstream.generations.length
  const trailers =
    'Host: evil.example\r\nAuthorization: Bearer trailing\r\nX-Request-Id: trailing\r\n'
  const size = GOOD.length.toString(16)
  const client = new RawClient(pair.gate.port).send(
    `${head('Trailer: Host, Authorization', CHUNKED)}${size}\r\n${GOOD}\r\n0\r\n${trailers}\r\n`,
  )
  t.equal((await client.answer())?.status, 200)
  const seen = pair.upstream.generations.slice(before).filter(({ headers }) => headers.via)
  t.equal(seen.length, 1)
  t.notMatch(JSON.stringify(seen), /evil|trailing|"trailer"/)
  t.ok(await client.isUsable())
  client.destroy()
})

t.test('B11 what follows a body cut short by its length is no request', async (t) => {
  const short = `${head('Content-Length: 1')}{}GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
  const client = new RawClient(pair.gate.port).send(short)
  isError(t, await client.answer(), 400, 'invalid_json')
  isError(t, await client.answer(), 400, 'bad_framing')
  t.ok(await client.isClosed())
  t.equal(client.rest, '', 'nobody asked for metrics')
})

t.test('B13 HTTP/1.0 without Host is served and closed', async (t) => {
  const client = new RawClient(pair.gate.port).send('GET /livez HTTP/1.0\r\n\r\n')
  t.equal((await client.answer())?.status, 200)
  t.ok(await client.isClosed())
})

t.test('B20 a reset after CONNECT does not end the process', async (t) => {
  const crashes = crashesDuring(async () => {
    // The reset must come between our reading the request and our answering it.
    for (let i = 0; i < 40; i++) {
      const client = new RawClient(pair.gate.port)
      await new Promise((resolve) => client.socket.once('connect', resolve))
      client.send(CONNECT)
      for (let hop = 0; hop < i % 8; hop++) await new Promise(setImmediate)
      client.socket.resetAndDestroy()
    }
  })
  t.strictSame(await crashes, [])
})

t.test('B20 a reset after CONNECT behind a running answer does not end the process', async (t) => {
  pair.upstream.options.ttftMs = 300
  const before = pair.forwarded().length
  const crashes = await crashesDuring(async () => {
    const client = new RawClient(pair.gate.port).send(`${chat()}${CONNECT}`)
    await pair.gate.until(() => pair.forwarded().length > before)
    client.socket.resetAndDestroy()
    await new Promise((resolve) => setTimeout(resolve, 400))
  })
  pair.upstream.options.ttftMs = 0
  t.strictSame(crashes, [])
})

t.test('B12 pipelined requests are answered in order, sixteen at once', async (t) => {
  const client = new RawClient(pair.gate.port)
  const all = Array.from({ length: 100 }, (_, i) =>
    chat({
      body: GOOD.replace('"hi"', `"pipelined ${i}"`),
      lines: [`X-Request-Id: pipelined-${i}`],
    }),
  )
  client.send(all.join(''))
  const ids: unknown[] = []
  for (let i = 0; i < 16; i++) ids.push((await client.answer())?.headers['x-request-id'])
  t.strictSame(
    ids,
    Array.from({ length: 16 }, (_, i) => `pipelined-${i}`),
  )
  isError(t, await client.answer(), 400, 'too_many_pipelined')
  t.ok(await client.isClosed(), 'what came after it is not answered')
})

t.test('B12 pipelined streams stop when their client leaves', async (t) => {
  Object.assign(pair.upstream.options, { tokens: 100_000, gapMs: 2 })
  const before = pair.upstream.generations.length
  const mine = () => pair.upstream.generations.slice(before).filter(({ headers }) => headers.via)
  const client = new RawClient(pair.gate.port)
  client.send(chat({ body: GOOD.replace('{', '{"stream":true,') }).repeat(4))
  await pair.gate.until(() => mine().length === 4)
  await new Promise((resolve) => setTimeout(resolve, 200))
  client.destroy()
  await pair.gate.until(() => mine().every(({ ended }) => ended?.how === 'cut'), 2_000)
  Object.assign(pair.upstream.options, { tokens: 3, gapMs: 0 })
  t.equal(mine().length, 4)
})

t.test('the gate is sound after all of it', (t) => isSound(t, pair))
