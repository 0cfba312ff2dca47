import t from 'tap'
import {
  chat,
  CHAT,
  get,
  GOOD,
  isSound,
  JSON_LINE,
  RawClient,
  refuses,
  request,
  type Row,
  startPair,
} from '../support/raw.ts'

// Rows of docs/bad-input.md that are shown here: content-type-spelling, key-in-another-case.

// Goal: a body is read once, by one rule, and what reaches the upstream is byte for byte what was
// read (bad-input matrix B24, B25, B31–B34, B36–B38, B41–B50, B53–B59, B61).
// Method: raw sockets against a gate with an upstream behind it, one row per input.

const pair = await startPair(t, { GENGATE_BODY_MAX_BYTES: String(4 * 1024 * 1024) })
const after = 'usable' as const

const type = (id: string, line: string | null): Row => ({
  name: `${id} ${line === null ? 'no content type' : JSON.stringify(line)}`,
  send: chat({ type: line }),
  status: [400, 415],
  code: ['unsupported_media_type', 'bad_framing'],
  after: 'any',
})
const body = (
  name: string,
  text: string,
  [status, code]: readonly [number, string | readonly string[]],
): Row => ({ name, send: chat({ body: text }), status, code, after })
const INVALID = [400, ['invalid_json', 'invalid_body', 'invalid_utf8']] as const
const model = (value: string) => GOOD.replace('"default"', value)

const M = '"model":"m"'
refuses(t, pair, [
  ...[
    'Content-Type: text/plain',
    'Content-Type: application/x-www-form-urlencoded',
    'Content-Type: multipart/form-data; boundary=x',
    null,
    'Content-Type:',
  ].map((line) => type('B24', line)),
  ...[
    'application/json;charset=latin1',
    'application/json; charset=utf-16',
    'application/json; charset=utf-8; charset=latin1',
    'application/json; x=y',
    'application/json, text/plain',
    'text/plain, application/json',
    'application/json\ta',
    'application/json<script>',
    'application/json/extra',
    'application/jsonx',
    'xapplication/json',
    'application/json5',
    'application/vnd.api+json',
    'application /json',
    '"application/json"',
    'application\\json',
    'application/json\x00',
    'application/json; charset="utf-8',
    'application/json; charset=utf-8"',
    'text/json',
    '*/*',
    'json',
    '__proto__',
    'constructor',
    'toString; charset=utf-8',
    '__proto__/json',
  ].map((value) => type('B25', `Content-Type: ${value}`)),
  type('B25', `${JSON_LINE}\r\nContent-Type: text/plain`),
  type('B25', `${JSON_LINE}\r\n${JSON_LINE}`),
  ...[
    'y 100-continue',
    '100-continue, 100-continue',
    '100-continue\r\nExpect: 100-continue',
    'x',
    '200-ok',
  ].map((value): Row => ({
    name: `B34 Expect: ${JSON.stringify(value)}`,
    send: chat({ lines: [`Expect: ${value}`] }),
    status: 417,
    code: 'expectation_failed',
    after: 'any',
  })),
  ...[
    '',
    ' ',
    'null',
    '[]',
    '1',
    '"a"',
    'true',
    '{',
    '{}}',
    '{"a":1,}',
    "{'a':1}",
    '{"a":NaN}',
    '{"a":01}',
    '\xef\xbb\xbf{}',
    '{"a":"\x01"}',
    '{"a":"\\x"}',
    '{"a"}',
    '{}{}',
    '// {}',
    '{"a":1}\0',
    `${GOOD} x`,
  ].map((text) => body(`B41 ${JSON.stringify(text)}`, text, INVALID)),
  ...['\xff', '\xc0\xae', '\xed\xa0\x80', '\xe9', '\xf5\x80\x80\x80', '\xc3'].map((bad) =>
    body(`B42 ${JSON.stringify(bad)}`, GOOD.replace('hi', bad), [400, 'invalid_utf8']),
  ),
  ...[
    ['UTF-16LE', Buffer.from(GOOD, 'utf16le').toString('latin1')],
    ['UTF-16 with BOM', `\xff\xfe${Buffer.from(GOOD, 'utf16le').toString('latin1')}`],
    ['UTF-32', [...GOOD].map((c) => `\0\0\0${c}`).join('')],
  ].map(([name, text]) => body(`B43 ${name}`, String(text), INVALID)),
  ...[201, 100_000, 1_000_000].flatMap((depth): Row[] => [
    body(`B47 arrays ${depth} deep`, `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`, [
      400,
      'json_too_deep',
    ]),
    body(`B47 objects ${depth} deep, open`, '{"a":'.repeat(Math.min(depth, 500_000)), [
      400,
      'json_too_deep',
    ]),
  ]),
  body('B48 a number of a million digits', `{"a":${'1'.repeat(1_000_000)}}`, [
    400,
    'json_too_complex',
  ]),
  body('B45 a key in another case beside the model', `{${M},"Model":"other"}`, [
    400,
    'ambiguous_key',
  ]),
  body('B45 STREAM alone', `{${M},"STREAM":true}`, [400, 'ambiguous_key']),
  body('B48 a million empty objects', `{"a":[${'{},'.repeat(1_000_000)}0]}`, [
    400,
    'json_too_complex',
  ]),
  body(
    'B48 200,000 keys',
    `{${Array.from({ length: 200_000 }, (_, i) => `"${i}":0,`).join('')}"a":0}`,
    [400, 'json_too_complex'],
  ),
  ...[
    ['gzip'],
    ['br'],
    ['zstd'],
    ['deflate'],
    [Array(10).fill('gzip').join(', ')],
    ['gzip\r\nContent-Encoding: identity'],
    ['identity, gzip'],
  ].map(([value]): Row => ({
    name: `B53 Content-Encoding ${JSON.stringify(value)}`,
    send: chat({ lines: [`Content-Encoding: ${value}`] }),
    status: [400, 415],
    code: ['unsupported_content_encoding', 'bad_framing'],
    after: 'any',
  })),
  ...['1', '[]', '{}', 'true', `"${'m'.repeat(257)}"`, `"${'m'.repeat(1_000_000)}"`].map((value) =>
    body(`B54 model ${value.slice(0, 20)}`, model(value), [400, 'invalid_model']),
  ),
  ...[
    '"a\\nb"',
    '"../../x"',
    '"http://evil.example/m"',
    '"unknown"',
    '"__proto__"',
    '"constructor"',
    '"\\ud800"',
    '"toString"',
    '" default"',
    '"default\\u0000"',
    '"m\\u202e"',
  ].map((value) => body(`B54 model ${value}`, model(value), [404, 'model_not_found'])),
  body('B55 model default_model', model('"default_model"'), [404, 'model_not_found']),
  ...['"true"', '1', '[]', '{}', '0', '""'].map((value) =>
    body(`B56 stream ${value}`, GOOD.replace('{', `{"stream":${value},`), [400, 'invalid_type']),
  ),
  {
    name: 'B50 a Content-Length over the limit, before a byte of it',
    send: chat({ bare: true, lines: ['Content-Length: 999999999999'] }),
    status: 413,
    code: 'request_too_large',
    after: 'closed',
  },
  {
    name: 'B50 a chunked body over the limit',
    send: `${request('POST', CHAT, { lines: [JSON_LINE, 'Transfer-Encoding: chunked'] })}${`100000\r\n${'x'.repeat(0x100000)}\r\n`.repeat(6)}0\r\n\r\n`,
    status: 413,
    code: 'request_too_large',
    after: 'closed',
  },
  {
    name: 'B50 a body over the limit that is sent whole before the answer is read',
    send: chat({ body: 'x'.repeat(6 * 1024 * 1024) }),
    status: 413,
    code: 'request_too_large',
    after: 'closed',
  },
])

/** Sends a body and gives what the upstream got of it, and under which headers. */
async function passed(send: string): Promise<{ body: string; headers: Record<string, unknown> }> {
  const before = pair.forwarded().length
  const client = new RawClient(pair.gate.port).send(send)
  let answer = await client.answer()
  if (answer?.status === 100) answer = await client.answer()
  const usable = await client.isUsable()
  client.destroy()
  const [seen] = pair.upstream.seen.filter(({ headers }) => headers.via).slice(before)
  if (answer?.status !== 200 || seen === undefined || !usable)
    throw new Error(`${answer?.status} ${answer?.body} usable=${usable}`)
  return { body: seen.body, headers: seen.headers }
}

const plain = { messages: '"messages":[]' }
for (const [name, text] of [
  ['B42 a lone surrogate as an escape', `{${M},"a":"\\ud800"}`],
  ['B44 duplicate messages', `{${M},${plain.messages},"messages":[1]}`],
  ['B45 duplicate keys deeper', `{${M},"a":{"b":1,"b":2,"model":"x"}}`],
  [
    'B46 __proto__ and constructor.prototype',
    `{${M},"__proto__":{"x":1},"constructor":{"prototype":{"x":1}}}`,
  ],
  ['B49 numbers', `{${M},"a":1e400,"seed":12345678901234567890,"b":-0,"c":1E5,"d":0.10}`],
  ['B56 stream null', `{${M},"stream":null}`],
  [
    'B57 absurd parameters',
    `{${M},"n":1000000,"max_tokens":-1,"best_of":1e9,"logit_bias":{"1":1e9}}`,
  ],
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
    t.equal((await passed(chat({ body: text }))).body, text)
    t.notOk('x' in {}, 'no prototype was changed')
  })
}

t.test(
  'B44 of a duplicate model or stream the last one counts, for the gate as for JSON',
  async (t) => {
    for (const [text, wanted] of [
      ['{"model":"nope","model":"default"}', '{"model":"nope","model":"m"}'],
      ['{"model":"nope","mod\\u0065l":"default"}', '{"model":"nope","mod\\u0065l":"m"}'],
      ['{"model":{"model":"nope"},"model":"default","stream":true,"stream":false}', null],
    ] as const) {
      const { body } = await passed(chat({ body: text }))
      if (wanted !== null) t.equal(body, wanted)
      t.equal((JSON.parse(body) as { model: string }).model, 'm')
    }
  },
)

t.test('B54 a model that is missing or empty is the default', async (t) => {
  t.equal((await passed(chat({ body: '{}' }))).body, '{"model":"m"}')
  t.equal((await passed(chat({ body: '{"a":1}' }))).body, '{"model":"m","a":1}')
  t.equal((await passed(chat({ body: '{"model":""}' }))).body, '{"model":"m"}')
  t.equal((await passed(chat({ body: '{"model":null}' }))).body, '{"model":"m"}')
})

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
  ])
    t.equal((await passed(chat({ type: `Content-Type: ${value}`, body: `{${M}}` }))).body, `{${M}}`)
})

t.test('B31, B32, B36, B37, B61 of the client only harmless headers arrive', async (t) => {
  const lines = [
    'Connection: content-length, authorization, x-request-id, host, via, accept-encoding',
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
  const { headers } = await passed(chat({ lines, body: `{${M}}` }))
  t.strictSame(Object.keys(headers).toSorted(), [
    'accept-encoding',
    'connection',
    'content-length',
    'content-type',
    'host',
    'user-agent',
    'via',
    'x-request-id',
  ])
  t.match(headers, {
    'accept-encoding': 'identity',
    'x-request-id': 'my-id',
    'user-agent': 'test/1',
    host: `127.0.0.1:${pair.upstream.port}`,
    connection: 'keep-alive',
  })
  t.notMatch(JSON.stringify(headers), /client-key|evil|polluted|1\.2\.3\.4/)
})

t.test('B33 a large body with Expect: 100-continue is invited and served', async (t) => {
  const text = `{${M},"a":"${'x'.repeat(2 * 1024 * 1024)}"}`
  const client = new RawClient(pair.gate.port)
  client.send(
    request('POST', CHAT, {
      lines: [JSON_LINE, 'Expect: 100-continue', `Content-Length: ${text.length}`],
    }),
  )
  t.equal((await client.answer())?.status, 100)
  client.send(text)
  t.equal((await client.answer())?.status, 200)
  t.ok(pair.forwarded().at(-1) === text)
  client.destroy()
})

t.test(
  'B38 bodies where none is read, and answers without one, keep the connection in step',
  async (t) => {
    const client = new RawClient(pair.gate.port)
    const other = 'GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
    for (const [status, send] of [
      [200, request('GET', '/v1/models', { body: other })],
      [200, request('GET', '/v1/models', { body: other, lines: [JSON_LINE] })],
      // These are the upstream's to answer, and it does not know them.
      [
        404,
        `${request('DELETE', '/v1/files/x', { lines: ['Transfer-Encoding: chunked'] })}5\r\nhello\r\n0\r\n\r\n`,
      ],
      [405, request('GET', CHAT, { body: GOOD })],
      [405, request('GET', '/tokenize', { body: GOOD, lines: [JSON_LINE] })],
    ] as const) {
      client.send(send)
      t.equal((await client.answer())?.status, status, send.slice(0, 30))
      t.ok(await client.isUsable())
    }
    for (const path of ['/v1/models', '/livez', '/metrics', '/gate/status', '/nothing', '/score']) {
      client.send(request('HEAD', path))
      const answer = await client.answer({ head: true })
      t.ok(Number(answer?.headers['content-length']) > 0, `${path} ${answer?.status}`)
      t.ok(await client.isUsable(), 'no body came')
    }
    client.send(request('HEAD', CHAT))
    const answer = await client.answer({ head: true })
    t.match(answer, { status: 405, headers: { allow: 'POST, OPTIONS' } })
    t.ok(await client.isUsable(), 'no body came')
    client.destroy()
  },
)

t.test('B66 request ids that are no ids are replaced', async (t) => {
  for (const id of [
    'a b',
    'a\tb',
    '\xe9',
    'x'.repeat(129),
    '"',
    '<script>',
    'a\x1b[31m',
    'a,b',
    '',
  ]) {
    const client = new RawClient(pair.gate.port).send(get('/v1/models', [`X-Request-Id: ${id}`]))
    const got = (await client.answer())?.headers['x-request-id']
    t.ok(got === undefined || /^[0-9a-f-]{36}$/.test(got), JSON.stringify(id))
    client.destroy()
  }
})

t.test('the gate is sound after all of it', (t) => isSound(t, pair))
