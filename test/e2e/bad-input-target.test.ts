import t from 'tap'
import {
  chat,
  CHAT,
  get,
  GOOD,
  isError,
  isSound,
  JSON_LINE,
  RawClient,
  refuses,
  request,
  type Row,
  startPair,
} from '../support/raw.ts'

// Goal: whom a request is for has one reading, and web pages are kept out (bad-input matrix
// B15–B29, B35; the order of the browser's attacks: rebinding, cross-origin, simple requests).
// Method: raw sockets against a gate with an upstream behind it, one row per input.

const pair = await startPair(t)
const own = `127.0.0.1:${pair.gate.port}`
const theirs = `127.0.0.1:${pair.upstream.port}`

const host = (value: string): Row => ({
  name: `${value === 'evil.example' ? 'B16' : 'B17'} Host ${JSON.stringify(value)}`,
  send: chat({ host: value }),
  status: 421,
  code: 'host_not_allowed',
  after: 'usable',
})
const path = (id: string, target: string): Row => ({
  name: `${id} ${JSON.stringify(target)}`,
  send: request('POST', target, { lines: [JSON_LINE], body: GOOD }),
  status: 400,
  code: ['bad_path', 'bad_framing'],
  after: 'usable',
})
const lost = (target: string): Row => ({
  ...path('B28', target),
  status: [400, 404],
  code: ['bad_path', 'not_found'],
})
const origin = (id: string, ...lines: string[]): Row => ({
  name: `${id} ${lines.join(', ')}`,
  send: chat({ lines }),
  status: 403,
  code: 'origin_not_allowed',
  after: 'usable',
})
const upgrade = (name: string, send: string): Row => ({
  name: `B35 ${name}`,
  send,
  status: [426, 501],
  code: 'upgrade_not_supported',
  after: 'any',
})
const wsKey = ['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13']

refuses(t, pair, [
  ...[
    'evil.example',
    '127.0.0.1.nip.io',
    'localhost.evil',
    '127.1',
    '0x7f.1',
    '0177.0.0.1',
    '2130706433',
    '[::ffff:127.0.0.1]',
    'localhost.',
    '127.0.0.1.',
    'user@127.0.0.1',
    'user:pass@localhost',
    '127.0.0.1:99999',
    '127.0.0.1:',
    '[fe80::1%25lo]',
    'localhost, evil.example',
    'localhost evil.example',
    'localhost#evil.example',
    'evil.example#@localhost',
    'gate.local',
    'host.docker.internal.evil',
    'lоcalhost',
    '',
  ].map(host),
  ...[
    `http://evil.example${CHAT}`,
    `http://localhost.evil${CHAT}`,
    `http://user:pass@evil.example${CHAT}`,
    `http://evil.example:80${CHAT}`,
  ].map((target): Row => ({
    ...host('x'),
    name: `B19 ${target}`,
    send: request('POST', target, { lines: [JSON_LINE], body: GOOD }),
  })),
  ...[
    '/v1/../metrics',
    '/v1/./metrics',
    '/v1/..',
    '/v1/%2e%2e/metrics',
    '/v1/%2E%2e/metrics',
    '/v1/.%2e/metrics',
    '/v1/..%2fmetrics',
    '/v1/..%5cmetrics',
    '/v1/..\\metrics',
    '/v1\\..\\metrics',
    '/v1/..;/metrics',
    '/v1/..;x=1/metrics',
    '/v1/chat/completions/../../models',
    '/v1/models/../../metrics',
    '/v1/models/..%2f..%2fmetrics',
  ].map((target) => path('B26', target)),
  ...[
    '/v1/%252e%252e/metrics',
    '/v1/%252fmetrics',
    '/v1/%25%32%65/x',
    '/v1/%c0%ae%c0%ae/metrics',
    '/v1/%zz',
    '/v1/%',
    '/v1/%e',
    '/v1/%ff',
    '/v1/%00',
    '/v1/%0d%0aHost:%20evil',
    '/v1/models/%',
    '/v1/models/%E0%A4%A',
    '/%',
    '/metrics%',
  ].map((target) => path('B27', target)),
  ...[
    '//evil.example/v1/chat/completions',
    '/v1//chat/completions',
    '//v1/chat/completions',
    '/V1/chat/completions',
    '/v1/chat%2Fcompletions',
    '/v1exposed/chat/completions',
    '/v1',
    '/v2/rerank/x',
    '/v2/',
    '/TOKENIZE',
    '/rerank;x=1',
    '/chat/completions',
    '/%6detrics/v1',
    '/v1:80@evil.example/',
    '/*',
    '/:x',
    '/gate/',
  ].map(lost),
  ...[
    '/v1/mod\xc3\xa9ls',
    '/v1/models#x',
    '/v1/models\xff',
    '/v1/models?a=\xe9',
    '/v1/a?b#c',
    '*',
  ].map((target) => ({ ...path('B29', target), after: 'any' as const })),
  ...['/v1/mod\x01els', '/v1/models\x7f', '/v1/a b', 'v1/models', 'https:/v1'].map((target) => ({
    ...path('B29', target),
    after: 'any' as const,
  })),
  { ...path('B29', `https://127.0.0.1${CHAT}`), status: [400, 421] },
  origin('B22', 'Origin: https://evil.example'),
  origin('B22', 'Origin: null'),
  origin('B22', 'Origin: http://127.0.0.1:8000'),
  origin('B22', 'Origin: '),
  origin('B22', 'Origin: https://evil.example', 'Sec-Fetch-Site: same-origin'),
  ...['cross-site', 'same-site', 'CROSS-SITE', 'none, cross-site', 'x'].map((site) =>
    origin('B23', `Sec-Fetch-Site: ${site}`),
  ),
  {
    ...origin('B22'),
    name: 'B22 a page asks for metrics',
    send: get('/metrics', ['Origin: null']),
  },
  {
    ...origin('B23'),
    name: 'B23 a page asks for the status',
    send: get('/gate/status', ['Sec-Fetch-Site: cross-site']),
  },
  {
    ...host('x'),
    name: 'B36 X-Forwarded-Host does not stand for Host',
    send: chat({
      host: 'evil.example',
      lines: ['X-Forwarded-Host: 127.0.0.1', 'Forwarded: host=localhost', 'X-Host: localhost'],
    }),
  },
  upgrade(
    'websocket, GET, where there is none',
    get('/v1/models', ['Connection: Upgrade', 'Upgrade: websocket', ...wsKey]),
  ),
  upgrade(
    'websocket, POST',
    chat({ lines: ['Connection: keep-alive, Upgrade', 'Upgrade: websocket'] }),
  ),
  upgrade(
    'h2c with websocket',
    get('/v1/models', ['Connection: Upgrade', 'Upgrade: h2c, websocket', ...wsKey]),
  ),
  {
    ...host('evil.example'),
    name: 'B35 an upgrade passes the same guards',
    send: get('/v1/realtime', ['Connection: Upgrade', 'Upgrade: websocket', ...wsKey]).replace(
      '127.0.0.1',
      'evil.example',
    ),
  },
])

for (const [name, send] of [
  ['B17 Host localhost', chat({ host: 'localhost' })],
  ['B17 Host LOCALHOST with a port', chat({ host: `LOCALHOST:${pair.gate.port}` })],
  ['B17 Host [::1]', chat({ host: '[::1]:8000' })],
  ['B17 Host host.docker.internal', chat({ host: 'host.docker.internal:8000' })],
  [
    'B18 absolute form with our authority',
    request('POST', `http://${own}${CHAT}`, { lines: [JSON_LINE], body: GOOD }),
  ],
  [
    'B18 absolute form, HTTP:// in capitals',
    request('POST', `HTTP://LOCALHOST${CHAT}`, { lines: [JSON_LINE], body: GOOD }),
  ],
  [
    'B19 absolute form that names the upstream is served by the gate',
    request('POST', `http://${theirs}${CHAT}`, { lines: [JSON_LINE], body: GOOD }),
  ],
  [
    'B28 escaped letters',
    request('POST', '/%76%31/chat/completions', { lines: [JSON_LINE], body: GOOD }),
  ],
] as const) {
  t.test(`${name} is served`, async (t) => {
    const before = pair.forwarded().length
    const client = new RawClient(pair.gate.port).send(send)
    const answer = await client.answer()
    t.equal(answer?.status, 200)
    t.equal(answer?.headers['x-gengate-upstream'], 'a', 'by the gate, through its own forwarder')
    t.equal(pair.forwarded().length, before + 1)
    t.equal(pair.upstream.seen.at(-1)?.url.split('?')[0], CHAT)
    t.ok(await client.isUsable())
    client.destroy()
  })
}

t.test('B21 OPTIONS * and preflights of strangers give no page anything', async (t) => {
  for (const [status, send] of [
    [204, request('OPTIONS', '*')],
    [
      403,
      request('OPTIONS', CHAT, {
        lines: [
          'Origin: https://evil.example',
          'Access-Control-Request-Method: POST',
          'Access-Control-Request-Private-Network: true',
        ],
      }),
    ],
    [403, request('OPTIONS', '*', { lines: ['Origin: null'] })],
    [405, request('OPTIONS', CHAT, { lines: ['Access-Control-Request-Method: POST'] })],
    [405, request('OPTIONS', '/v1/files/x')],
    [405, request('OPTIONS', '/rerank', { lines: [JSON_LINE], body: GOOD })],
    [405, request('OPTIONS', '/metrics')],
    [404, request('OPTIONS', '/nothing')],
  ] as const) {
    const client = new RawClient(pair.gate.port).send(send)
    const answer = await client.answer()
    t.equal(answer?.status, status, send)
    t.notMatch(JSON.stringify(answer?.headers), /access-control-allow/)
    t.match(answer?.headers['x-request-id'], /./)
    t.ok(await client.isUsable())
    client.destroy()
  }
})

t.test('B35 what follows an upgrade that was refused is no tunnel', async (t) => {
  const asked = get('/v1/models', ['Connection: Upgrade', 'Upgrade: websocket', ...wsKey])
  const client = new RawClient(pair.gate.port).send(`${asked}\x81\x85\x00\x00\x00\x00hello`)
  isError(t, await client.answer(), 426, 'upgrade_not_supported')
  const next = await client.answer({ limitMs: 2_000 })
  t.ok(next === null || next.status === 400, 'they may be refused once more, never answered')
  t.ok(await client.isClosed(2_000), 'nobody waits for what was swallowed')
})

t.test(
  'the 24 combinations of Host, Origin, type and method: one of them reaches the upstream',
  async (t) => {
    const before = pair.forwarded().length
    let wanted = 0
    for (const hostName of ['127.0.0.1', 'evil.example'])
      for (const from of [null, 'https://evil.example', 'null'])
        for (const type of [JSON_LINE, 'Content-Type: text/plain'])
          for (const method of ['POST', 'GET']) {
            const lines = [type, ...(from === null ? [] : [`Origin: ${from}`])]
            const client = new RawClient(pair.gate.port)
            client.send(request(method, CHAT, { host: hostName, lines, body: GOOD }))
            const answer = await client.answer()
            const ours = hostName === '127.0.0.1' && from === null
            const good = ours && type === JSON_LINE && method === 'POST'
            if (good) wanted++
            const what = `${hostName} ${from} ${type} ${method} ${answer?.status}`
            if (good) t.equal(answer?.status, 200, what)
            else t.ok([403, 405, 415, 421].includes(answer?.status ?? 0), what)
            t.equal(pair.forwarded().length, before + wanted, what)
            t.notOk(answer?.headers['access-control-allow-origin'])
            client.destroy()
          }
    t.equal(wanted, 1)
  },
)

t.test('B68 a request that has been here, or through six gates, is a loop', async (t) => {
  const status = await fetch(`${pair.gate.url}/gate/status`)
  const { instance } = (await status.json()) as { instance: string }
  const before = pair.forwarded().length
  for (const via of [`1.1 gengate-${instance}`, `1.0 a, 1.1 gengate-${instance}, 1.1 b`])
    for (const lines of [[`Via: ${via}`], ['Via: 1.1 c', `Via: ${via}`]]) {
      const client = new RawClient(pair.gate.port).send(chat({ lines }))
      isError(t, await client.answer(), 508, 'loop_detected')
      t.ok(await client.isUsable())
      client.destroy()
    }
  const many = Array.from({ length: 6 }, (_, i) => `1.1 gengate-${i}`).join(', ')
  const client = new RawClient(pair.gate.port).send(chat({ lines: [`Via: ${many}`] }))
  isError(t, await client.answer(), 508, 'loop_detected')
  client.destroy()
  t.equal(pair.forwarded().length, before)
})

t.test('the gate is sound after all of it', (t) => isSound(t, pair))
