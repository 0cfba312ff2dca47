import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { isHostAllowed } from '../../src/proxy/guard-host.ts'
import { checkRequest, type GuardPolicy, guardPolicy } from '../../src/proxy/guards.ts'

const open: Parameters<typeof guardPolicy>[0] = {
  hosts: ['Gate.lan'],
  origins: ['http://App.example:3000/'],
  keys: [],
  operatorNeedsKey: false,
  instanceId: 'me',
}
const policy = guardPolicy(open)
const locked = guardPolicy({ ...open, keys: ['key-one', 'key-two'] })
const APP = 'http://app.example:3000'

interface Ask {
  readonly method?: string
  readonly url?: string
  readonly version?: string
  readonly policy?: GuardPolicy
  /** Header lines besides Host and JSON content type; a null value leaves a default one out. */
  readonly headers?: readonly (readonly [string, string | null])[]
}

/** A request as node would give it. */
function ask(what: Ask): ReturnType<typeof checkRequest> {
  const given = what.headers ?? []
  const method = what.method ?? 'POST'
  const defaults = [
    ['Host', '127.0.0.1:8000'],
    ...(method === 'POST' ? [['Content-Type', 'application/json']] : []),
  ] as [string, string][]
  const names = new Set(given.map(([name]) => name.toLowerCase()))
  const lines = [
    ...defaults.filter(([name]) => !names.has(name.toLowerCase())),
    ...given.filter((line): line is [string, string] => line[1] !== null),
  ]
  const headers: Record<string, string> = {}
  for (const [name, value] of lines) headers[name.toLowerCase()] ??= value
  return checkRequest(
    {
      method,
      url: what.url ?? '/v1/chat/completions',
      rawHeaders: lines.flat(),
      headers,
      httpVersion: what.version ?? '1.1',
    },
    what.policy ?? policy,
  )
}
const code = (what: Ask): string => {
  const result = ask(what)
  return result.ok ? 'ok' : result.code
}

t.test('checkRequest passes an ordinary request on, canonical', async (t) => {
  const result = ask({ url: '/%761/chat/completions?a=1' })
  t.strictSame(result, {
    ok: true,
    path: '/v1/chat/completions',
    query: '?a=1',
    cors: { vary: 'Origin' },
  })
})

t.test('checkRequest B01–B06, B13–B15: framing', async (t) => {
  const cases: [string, Ask][] = [
    [
      'bad_framing',
      {
        headers: [
          ['Content-Length', '3'],
          ['Transfer-Encoding', 'chunked'],
        ],
      },
    ],
    [
      'bad_framing',
      {
        headers: [
          ['Content-Length', '3'],
          ['content-length', '3'],
        ],
      },
    ],
    ...['+27', '-1', '0x1b', '', '27, 27', '18446744073709551616', '1 2'].map(
      (value): [string, Ask] => ['bad_framing', { headers: [['Content-Length', value]] }],
    ),
    ...['xchunked', 'chunked, identity', 'chunked, chunked', 'identity', '\u000bchunked', ''].map(
      (value): [string, Ask] => ['bad_framing', { headers: [['Transfer-Encoding', value]] }],
    ),
    [
      'bad_framing',
      {
        headers: [
          ['Transfer-Encoding', 'chunked'],
          ['Transfer-Encoding', 'chunked'],
        ],
      },
    ],
    ['unsupported_transfer_coding', { headers: [['Transfer-Encoding', 'gzip, chunked']] }],
    ['ok', { headers: [['Transfer-Encoding', 'Chunked']] }],
    ['ok', { headers: [['Content-Length', '0027']] }],
    ['bad_framing', { version: '1.0', headers: [['Transfer-Encoding', 'chunked']] }],
    ['bad_framing', { version: '1.2' }],
    ['bad_framing', { version: '0.9' }],
    ['bad_framing', { version: '2.0' }],
    ['bad_framing', { headers: [['Host', null]] }],
    ['ok', { version: '1.0', headers: [['Host', null]] }],
    [
      'bad_framing',
      {
        headers: [
          ['Host', 'localhost'],
          ['host', 'evil.example'],
        ],
      },
    ],
    [
      'bad_framing',
      {
        headers: [
          ['Origin', APP],
          ['Origin', 'https://evil.example'],
        ],
      },
    ],
  ]
  for (const [expected, what] of cases) t.equal(code(what), expected, JSON.stringify(what))
})

t.test('isHostAllowed B16, B17: names and literals, strictly', async (t) => {
  const { hosts } = policy
  for (const host of [
    ['localhost', 'LOCALHOST:8000', '127.0.0.1', '127.0.0.1:1', '[::1]', '[::1]:8000', '10.1.2.3'],
    ['host.docker.internal:8000', 'host.containers.internal', 'gate.lan', 'GATE.LAN:65535'],
    ['0.0.0.0:8000', '[fe80::1]:80'],
  ].flat()) {
    t.ok(isHostAllowed(host, hosts), host)
  }
  for (const host of [
    ['', ':8000', 'evil.example', 'localhost.evil', '127.0.0.1.nip.io', 'xlocalhost', '127.1'],
    ['0x7f.1', '0x7f000001', '2130706433', '127.0.0.01', '127.0.0.256', '[::ffff:127.0.0.1]'],
    ['[::ffff:7f00:1]', '[::1%25lo]', '[::1%lo]', '[::1', '::1', '[]', '[localhost]', 'localhost.'],
    ['127.0.0.1.', 'user@localhost', 'user:pw@localhost:80', 'localhost:', 'localhost:0'],
    [
      'localhost:65536',
      'localhost:80:80',
      'localhost:8x',
      'localhost/',
      'localhost,evil',
      ' localhost',
    ],
    ['localhost\t', 'gate.lan.evil', '-gate.lan', 'gate..lan', '__proto__', 'loc\u0430lhost'],
  ].flat()) {
    t.notOk(isHostAllowed(host, hosts), JSON.stringify(host))
  }
})

t.test('checkRequest B16, B18, B19: the host that the request names', async (t) => {
  t.equal(code({ headers: [['Host', 'evil.example']] }), 'host_not_allowed')
  t.equal(code({ headers: [['Host', '']] }), 'host_not_allowed')
  t.match(ask({ url: 'http://localhost:8000/v1/chat/completions?a' }), {
    ok: true,
    path: '/v1/chat/completions',
    query: '?a',
  })
  t.match(ask({ method: 'GET', url: 'HTTP://127.0.0.1:8000' }), { ok: true, path: '/' })
  for (const url of [
    'http://evil.example/v1/chat/completions',
    'http://localhost@evil.example/v1/models',
    'http://localhost.evil/v1/models',
    'http:///v1/models',
  ]) {
    t.equal(code({ url }), 'host_not_allowed', url)
  }
  const both = { url: 'http://localhost/v1/models', headers: [['Host', 'evil.example']] } as const
  t.equal(code(both), 'host_not_allowed', 'neither may be foreign')
  for (const url of [
    'https://localhost/v1/models',
    'ftp://localhost/',
    'localhost:80',
    'http:/x',
    '*',
  ]) {
    t.equal(code({ url }), 'bad_path', url)
  }
  t.equal(code({ url: 'http://localhost/v1/../metrics' }), 'bad_path')
})

t.test('checkRequest B22, B23: web pages that nobody allowed', async (t) => {
  for (const origin of [
    'https://evil.example',
    'null',
    '',
    'http://localhost:3000',
    `${APP}.evil`,
    `${APP}/`,
  ]) {
    t.equal(code({ headers: [['Origin', origin]] }), 'origin_not_allowed', origin)
  }
  for (const site of ['cross-site', 'same-site', 'nonsense']) {
    t.equal(code({ headers: [['Sec-Fetch-Site', site]] }), 'origin_not_allowed', site)
    t.equal(
      code({
        headers: [
          ['Origin', APP],
          ['Sec-Fetch-Site', site],
        ],
      }),
      'ok',
    )
  }
  for (const site of ['none', 'same-origin'])
    t.equal(code({ headers: [['Sec-Fetch-Site', site]] }), 'ok')
  const sandboxed = guardPolicy({ ...open, origins: ['null'] })
  t.equal(code({ headers: [['Origin', 'null']], policy: sandboxed }), 'origin_not_allowed')
  const health = {
    method: 'GET',
    url: '/readyz',
    headers: [['Origin', 'https://evil.example']],
  } as const
  t.equal(code(health), 'origin_not_allowed', 'pages may not even ask for health')
})

t.test('checkRequest: 24 combinations of host, origin, type and method', async (t) => {
  const passed: string[] = []
  for (const host of ['localhost:8000', 'evil.example']) {
    for (const origin of [null, 'https://evil.example', APP]) {
      for (const type of ['application/json', 'text/plain']) {
        for (const method of ['POST', 'GET']) {
          const headers = [
            ['Host', host],
            ['Origin', origin],
            ['Content-Type', type],
          ] as const
          if (code({ method, headers }) === 'ok')
            passed.push([host, origin, type, method].join(' '))
        }
      }
    }
  }
  t.strictSame(passed, [
    'localhost:8000  application/json POST',
    `localhost:8000 ${APP} application/json POST`,
  ])
})

t.test('checkRequest B21: preflights', async (t) => {
  const preflight = (origin: string | null, asked: string | null = null): ReturnType<typeof ask> =>
    ask({
      method: 'OPTIONS',
      policy: locked,
      headers: [
        ['Origin', origin],
        ['Access-Control-Request-Method', 'POST'],
        ['Access-Control-Request-Headers', asked],
      ],
    })
  t.match(preflight(APP, 'authorization,x-stainless-os, content-type'), {
    ok: true,
    cors: {
      'access-control-allow-origin': APP,
      'access-control-allow-methods': 'GET, POST, OPTIONS',
      'access-control-allow-headers': 'authorization,x-stainless-os, content-type',
      vary: 'Origin, Access-Control-Request-Headers',
    },
  })
  const plain = 'authorization, content-type, x-api-key'
  for (const asked of ['x\u00e9', 'a b', '*', 'x'.repeat(2000), null]) {
    t.match(preflight(APP, asked), { cors: { 'access-control-allow-headers': plain } })
  }
  t.match(preflight('https://evil.example'), { ok: false, code: 'origin_not_allowed' })
  t.strictSame(preflight(null), {
    ok: true,
    path: '/v1/chat/completions',
    query: '',
    cors: { vary: 'Origin' },
  })
  t.match(ask({ method: 'OPTIONS', url: '*' }), { ok: true, path: '*' })
  const result = preflight(APP)
  t.notOk(result.ok && 'access-control-allow-private-network' in result.cors)
  t.notOk(result.ok && 'access-control-allow-credentials' in result.cors)
})

t.test('checkRequest: CORS for an allowed page, on refusals too', async (t) => {
  t.match(ask({ headers: [['Origin', APP]] }), {
    cors: { 'access-control-allow-origin': APP, vary: 'Origin' },
  })
  t.match(
    ask({
      headers: [
        ['Origin', APP],
        ['Content-Type', 'text/plain'],
      ],
    }),
    {
      code: 'unsupported_media_type',
      headers: { 'access-control-allow-origin': APP },
    },
  )
  const none = guardPolicy({ ...open, origins: [] })
  t.strictSame(ask({ policy: none }), {
    ok: true,
    path: '/v1/chat/completions',
    query: '',
    cors: {},
  })
})

t.test('checkRequest B20: methods', async (t) => {
  for (const method of [
    'TRACE',
    'CONNECT',
    'PUT',
    'GET',
    'HEAD',
    'DELETE',
    'PROPFIND',
    'post',
    '',
  ]) {
    t.match(
      ask({ method }),
      {
        code: 'method_not_allowed',
        headers: { allow: 'POST, OPTIONS' },
      },
      method,
    )
  }
  for (const method of ['TRACE', 'CONNECT', 'PUT', 'QUERY']) {
    t.match(ask({ method, url: '/metrics' }), { code: 'method_not_allowed' }, method)
  }
  for (const method of ['GET', 'HEAD', 'DELETE']) t.equal(code({ method, url: '/v1/models' }), 'ok')
})

t.test('checkRequest B33–B35: Expect and Upgrade', async (t) => {
  t.equal(code({ headers: [['Expect', '100-Continue']] }), 'ok')
  for (const value of ['y 100-continue', '100-continue, x', '200-ok', '']) {
    t.equal(code({ headers: [['Expect', value]] }), 'expectation_failed', value)
  }
  const twice = [
    ['Expect', '100-continue'],
    ['Expect', '100-continue'],
  ] as const
  t.equal(code({ headers: twice }), 'expectation_failed')
  for (const protocol of ['websocket', 'h2c']) {
    for (const method of ['GET', 'POST']) {
      const headers = [
        ['Connection', 'keep-alive, Upgrade'],
        ['Upgrade', protocol],
      ] as const
      t.equal(code({ method, url: '/v1/realtime', headers }), 'upgrade_not_supported')
    }
  }
  t.equal(code({ headers: [['Upgrade', 'h2c']] }), 'ok', 'B32: without Connection it means nothing')
  for (const name of ['Keep-Alive', 'Proxy-Connection', 'Proxy-Authorization', 'TE']) {
    t.equal(code({ headers: [[name, 'x']] }), 'ok', name)
  }
})

t.test('checkRequest B24, B25: the content type, in every spelling', async (t) => {
  for (const type of [
    'application/json',
    'Application/JSON',
    'application/json; charset=utf-8',
    'application/json;charset=UTF-8',
    'application/json; charset="utf-8"',
    'application/json ; charset=utf-8',
  ]) {
    t.equal(code({ headers: [['Content-Type', type]] }), 'ok', type)
  }
  for (const type of [
    ['', 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'],
    ['application/json;charset=latin1', 'application/json; charset=utf-16', 'application/json;x=y'],
    [
      'application/json; charset=utf-8; charset=latin1',
      'application/json;charset=utf-8;boundary=x',
    ],
    ['application/json\t', '\tapplication/json', ' application/json', 'application/json\ta'],
    [
      'application/json\0',
      '"application/json"',
      'application/json, text/plain',
      'application/json,',
    ],
    [
      'application/json<script>',
      'application/json/extra',
      'application/jsonp',
      'application/json+x',
    ],
    ['text/json', 'application/ld+json', 'application/json;', 'application/json; charset=', '*/*'],
    [
      '__proto__',
      'constructor',
      'application/json;charset=utf8',
      "application/json; charset='utf-8'",
    ],
  ].flat()) {
    t.equal(
      code({ headers: [['Content-Type', type]] }),
      'unsupported_media_type',
      JSON.stringify(type),
    )
  }
  t.equal(code({ headers: [['Content-Type', null]] }), 'unsupported_media_type', 'none')
  const twice = [
    ['Content-Type', 'application/json'],
    ['content-type', 'text/plain'],
  ] as const
  t.equal(code({ headers: twice }), 'unsupported_media_type')
  const elsewhere = { url: '/api/chat', headers: [['Content-Type', 'text/plain']] } as const
  t.equal(code(elsewhere), 'ok', 'a path without a route gets its own helpful answer')
})

t.test('checkRequest B53: compressed bodies', async (t) => {
  for (const coding of ['gzip', 'br', 'zstd', 'gzip, gzip', 'x', '']) {
    const what = { headers: [['Content-Encoding', coding]] } as const
    t.equal(code(what), 'unsupported_content_encoding', coding)
  }
  t.equal(code({ headers: [['Content-Encoding', 'Identity']] }), 'ok')
})

t.test('checkRequest B39, B40: keys', async (t) => {
  const keyed = (...headers: [string, string][]): string => code({ policy: locked, headers })
  t.equal(keyed(['Authorization', 'Bearer key-one']), 'ok')
  t.equal(keyed(['Authorization', 'bearer  key-two']), 'ok')
  t.equal(keyed(['X-Api-Key', 'key-two']), 'ok')
  t.equal(keyed(['Authorization', 'Bearer nope'], ['X-Api-Key', 'key-two']), 'ok')
  for (const value of [
    [
      'Bearer',
      'Bearer ',
      'Bearer nope',
      'Bearer key-on',
      'Bearer key-onex',
      'key-one',
      'Basic key-one',
    ],
    ['Bearer key-one x', 'Bearer key-one, Bearer key-two', 'Bearerkey-one', 'Token key-one', ''],
    `Bearer ${'x'.repeat(10_000)}`,
  ].flat()) {
    t.equal(keyed(['Authorization', value]), 'invalid_api_key', value.slice(0, 40))
  }
  t.equal(keyed(['X-Api-Key', '']), 'invalid_api_key')
  t.equal(keyed(), 'invalid_api_key')
  const twice = [
    ['Authorization', 'Bearer key-one'],
    ['authorization', 'Bearer key-one'],
  ] as const
  t.equal(code({ policy: locked, headers: twice }), 'invalid_api_key')
  const twoKeys = [
    ['x-api-key', 'key-one'],
    ['X-Api-Key', 'x'],
  ] as const
  t.equal(code({ policy: locked, headers: twoKeys }), 'invalid_api_key')
  t.equal(code({ policy: locked, url: '/v1/chat/completions?key=key-one' }), 'invalid_api_key')
  t.match(ask({ policy: locked }), { headers: { 'www-authenticate': 'Bearer' } })
  t.equal(code({ headers: [['Authorization', 'Bearer anything']] }), 'ok', 'no key is set')
  t.notMatch(JSON.stringify(locked.keyHashes), /key-one/, 'kept as hashes only')
})

t.test('checkRequest: which paths need what', async (t) => {
  const operator = guardPolicy({ ...open, keys: ['k'], operatorNeedsKey: true })
  const get = (url: string, which: GuardPolicy, host = 'localhost'): string =>
    code({ method: 'GET', url, policy: which, headers: [['Host', host]] })
  for (const url of ['/livez', '/readyz', '/readyz?verbose', '/health']) {
    t.equal(get(url, operator, 'gate-7f.svc.cluster.local:8000'), 'ok', `${url} needs neither`)
  }
  for (const url of ['/metrics', '/gate/status', '/gate/']) {
    t.equal(get(url, operator), 'invalid_api_key', `${url} off loopback`)
    t.equal(get(url, locked), 'ok', `${url} on loopback`)
    t.equal(get(url, locked, 'evil.example'), 'host_not_allowed')
  }
  for (const url of [
    '/v1/models',
    '/v1/x',
    '/api/tags',
    '/tokenize',
    '/Livez',
    '/livez/',
    '/gatex',
  ]) {
    t.equal(get(url, locked), 'invalid_api_key', url)
  }
  t.equal(get('/', locked), 'ok')
  t.equal(get('/', locked, 'evil.example'), 'host_not_allowed')
})

t.test('checkRequest B68: loops', async (t) => {
  t.equal(code({ headers: [['Via', '1.1 gengate-me']] }), 'loop_detected')
  t.equal(code({ headers: [['Via', '1.1 gengate-other']] }), 'ok')
})

t.test('checkRequest B36, B37: other headers decide nothing', async (t) => {
  const names = [
    'X-Forwarded-Host',
    'X-Forwarded-Proto',
    'Forwarded',
    'X-Original-URL',
    'X-Rewrite-URL',
  ]
  for (const name of [...names, '__proto__', 'constructor', 'toString']) {
    t.equal(code({ headers: [[name, 'evil.example']] }), 'ok', name)
    const evil = {
      headers: [
        [name, 'localhost'],
        ['Host', 'evil.example'],
      ],
    } as const
    t.equal(code(evil), 'host_not_allowed', name)
  }
})

t.test('checkRequest reads what node really gives', async (t) => {
  const server = createServer((request, response) => {
    const result = checkRequest(request, policy)
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
