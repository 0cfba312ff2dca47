import t from 'tap'
import {
  chat,
  CHAT,
  each,
  type Fate,
  get,
  GOOD,
  type Input,
  isSound,
  JSON_LINE,
  refuses,
  request,
  startPair,
  words,
} from '../support/raw.ts'

// Rows of docs/bad-input.md that are shown here: method-of-a-generation, unknown-coding-keep-alive,
// content-type-spelling, key-in-another-case.

// Goal: bytes that two parsers could read in two ways, requests for somebody else, web pages and bodies
// that are not what they should be are refused with one of our errors, and nothing reaches an upstream.
// Method: raw sockets against a gate with an upstream behind it, one row per input.

const pair = await startPair(t, { GENGATE_BODY_MAX_BYTES: String(4 * 1024 * 1024) })
const refused = (fate: Fate, inputs: readonly Input[]): void => refuses(t, pair, fate, inputs)

const CHUNKED = 'Transfer-Encoding: chunked'
const head = (...lines: string[]): string => request('POST', CHAT, { lines: [JSON_LINE, ...lines] })
const chunks = (text: string): string => head(CHUNKED) + text
const old = (bytes: string): string => bytes.replace('HTTP/1.1', 'HTTP/1.0')
const line = (text: string): string => chat({ lines: [text] })
const typed = (type: string): string => chat({ type })
const body = (text: string): string => chat({ body: text })
const to = (target: string): string => request('POST', target, { lines: [JSON_LINE], body: GOOD })

// Framing.
refused(
  [400, 'bad_framing', 'closed'],
  [
    ['B01 both lengths', `${head('Content-Length: 6', CHUNKED)}0\r\n\r\nX`],
    ['B01 the other way round', `${head(CHUNKED, 'Content-Length: 6')}0\r\n\r\nX`],
    ['B02 two lengths', `${head('Content-Length: 3', 'Content-Length: 4')}{}`],
    ['B02 two equal lengths', `${head('Content-Length: 2', 'Content-Length: 2')}{}`],
    ['B02 two lengths in one line', `${head('Content-Length: 27, 27')}{}`],
    ...each(
      'B03 Content-Length',
      ['', '1 2', ...words('+27 -1 0x1b 18446744073709551616 1_0 2.0 ١')],
      (value) => `${head(`Content-Length: ${value}`)}{}`,
    ),
    ...each(
      'B04',
      [
        'Transfer-Encoding: xchunked',
        'Transfer-Encoding: chunked, identity',
        'Transfer-Encoding: chunked, chunked',
        'Transfer-Encoding : chunked',
        'Transfer-Encoding: \x0bchunked',
        'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
        'Transfer-Encoding: identity',
        ' Transfer-Encoding: chunked',
      ],
      (value) => `${head(value)}2\r\n{}\r\n0\r\n\r\n`,
    ),
    ['B06 Transfer-Encoding in HTTP/1.0', old(chunks('0\r\n\r\n'))],
    ['B06 with keep-alive', `${old(head('Connection: keep-alive', CHUNKED))}0\r\n\r\n`],
    ['B07 a folded line', line('X-A: b\r\n c')],
    ['B07 a bare LF', line('X-A: b\nX-C: d')],
    ['B07 a bare CR', line('X-A: b\rX-C: d')],
    ['B07 a NUL', line('X-A: b\0c')],
    ['B07 a control character', line('X-A: b\x01c')],
    ['B07 a DEL', line('X-A: b\x7fc')],
    ...each('B08 header', [': b', 'X A: b', 'X\tA: b', 'X-A : b', 'XA'], line),
    ['B09 chunk size with an underscore', chunks('0_2\r\n{}\r\n0\r\n\r\n')],
    ['B09 chunk size beyond 64 bits', chunks('FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n')],
    ['B09 negative chunk size', chunks('-2\r\n{}\r\n0\r\n\r\n')],
    ['B09 chunk size ended by LF', chunks('2\n{}\r\n0\r\n\r\n')],
    ['B09 chunk data longer than told', chunks('2\r\n{}}\r\n0\r\n\r\n')],
    ['B09 chunk extension of 64 KiB', chunks(`2;a=${'b'.repeat(65_536)}\r\n{}\r\n0\r\n\r\n`)],
    ['B13 HTTP/0.9', 'GET /livez\r\n\r\n'],
    ['B13 HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['B13 HTTP/1.2', get('/livez').replace('HTTP/1.1', 'HTTP/1.2')],
    ['B13 TLS on a plain port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    // Node's parser knows a closed list of methods; what is not in it is no HTTP to it.
    ['B20 a method that does not exist', request('FOO', '/livez')],
    ['B20 a method in lower case', request('get', '/livez')],
  ],
)
refused(
  [501, 'unsupported_transfer_coding', 'closed'],
  [['B05 gzip, chunked', `${head('Transfer-Encoding: gzip, chunked')}2\r\n{}\r\n0\r\n\r\n`]],
)
refused(
  [400, 'bad_framing', 'any'],
  [
    ['B14 no Host', request('GET', '/livez', { host: null })],
    ['B15 two Host lines', line('Host: evil.example')],
    ['B15 two equal Host lines', line('Host: 127.0.0.1')],
  ],
)
const flood = (text: string): string[] => Array<string>(3_000).fill(text)
refused(
  [[414, 431], 'headers_too_large', 'closed'],
  [
    ['B30 a path of 20 KB', get(`/v1/${'a'.repeat(20_000)}`)],
    ['B30 a header of 20 KB', line(`X-A: ${'b'.repeat(20_000)}`)],
    ['B30 3000 headers', chat({ lines: flood('').map((_, i) => `X-${i}: b`) })],
    ['B30 3000 headers and Upgrade', get('/v1/models', flood('Upgrade: a'))],
  ],
)
refused(
  [431, 'headers_too_large', 'usable'],
  [['B30 300 short headers', chat({ lines: flood('a: b').slice(0, 300) })]],
)

// Methods.
const not = (allow: RegExp): Fate => [405, 'method_not_allowed', 'usable', { allow }]
const methods = (verbs: string, paths: readonly string[], lines: string[] = []): Input[] =>
  words(verbs).flatMap((verb) =>
    each(`B20 ${verb}`, paths, (path) => request(verb, path, { lines })),
  )
refused(
  not(/^GET, HEAD, POST, PUT, PATCH, DELETE\b/),
  methods('TRACE QUERY PROPFIND', ['/v1/whatever', '/v1/files/x']),
)
refused(
  not(/^POST/),
  methods(
    'TRACE PUT PATCH DELETE QUERY PROPFIND GET',
    [CHAT, `${CHAT}/`, '/v1/messages', '/tokenize', '/v2/rerank'],
    [JSON_LINE],
  ),
)
refused(not(/^GET, HEAD/), [
  ['B20 POST /metrics', request('POST', '/metrics', { body: '{}', lines: [JSON_LINE] })],
])
refused(
  [405, 'method_not_allowed', 'closed', { allow: /GET/ }],
  [['B20 CONNECT', 'CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n']],
)

// Whom it is for.
const key = ['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13']
const socket = ['Connection: Upgrade', 'Upgrade: websocket', ...key]
refused(
  [421, 'host_not_allowed', 'usable'],
  [
    ['B16 Host evil.example', chat({ host: 'evil.example' })],
    ...each(
      'B17 Host',
      [
        '',
        'localhost, evil.example',
        'localhost evil.example',
        ...words(`
          127.0.0.1.nip.io localhost.evil 127.1 0x7f.1 0177.0.0.1 2130706433 [::ffff:127.0.0.1]
          localhost. 127.0.0.1. user@127.0.0.1 user:pass@localhost 127.0.0.1:99999 127.0.0.1:
          [fe80::1%25lo] localhost#evil.example evil.example#@localhost gate.local
          host.docker.internal.evil lоcalhost
        `),
      ],
      (host) => chat({ host }),
    ),
    ...each(
      'B19',
      words('http://evil.example http://localhost.evil http://user:pass@evil.example').concat(
        'http://evil.example:80',
      ),
      (origin) => to(`${origin}${CHAT}`),
    ),
    [
      'B36 X-Forwarded-Host does not stand for Host',
      chat({
        host: 'evil.example',
        lines: ['X-Forwarded-Host: 127.0.0.1', 'Forwarded: host=localhost', 'X-Host: localhost'],
      }),
    ],
    [
      'B35 an upgrade passes the same guards',
      request('GET', '/v1/realtime', { host: 'evil.example', lines: socket }),
    ],
  ],
)
const BAD_PATH = ['bad_path', 'bad_framing']
refused(
  [400, BAD_PATH, 'usable'],
  [
    ...each(
      'B26',
      words(`
        /v1/../metrics /v1/./metrics /v1/.. /v1/%2e%2e/metrics /v1/%2E%2e/metrics /v1/.%2e/metrics
        /v1/..%2fmetrics /v1/..%5cmetrics /v1/..\\metrics /v1\\..\\metrics /v1/..;/metrics
        /v1/..;x=1/metrics /v1/chat/completions/../../models /v1/models/../../metrics
        /v1/models/..%2f..%2fmetrics
      `),
      to,
    ),
    ...each(
      'B27',
      words(`
        /v1/%252e%252e/metrics /v1/%252fmetrics /v1/%25%32%65/x /v1/%c0%ae%c0%ae/metrics /v1/%zz
        /v1/% /v1/%e /v1/%ff /v1/%00 /v1/%0d%0aHost:%20evil /v1/models/% /v1/models/%E0%A4%A /%
        /metrics%
      `),
      to,
    ),
  ],
)
refused(
  [[400, 404], ['bad_path', 'not_found'], 'usable'],
  each(
    'B28',
    words(`
      //evil.example/v1/chat/completions /v1//chat/completions //v1/chat/completions
      /V1/chat/completions /v1/chat%2Fcompletions /v1exposed/chat/completions /v1 /v2/rerank/x /v2/
      /TOKENIZE /rerank;x=1 /chat/completions /%6detrics/v1 /v1:80@evil.example/ /* /:x /gate/
    `),
    to,
  ),
)
refused(
  [400, BAD_PATH, 'any'],
  each(
    'B29',
    [
      '/v1/a b',
      ...words('/v1/mod\xc3\xa9ls /v1/models#x /v1/models\xff /v1/models?a=\xe9 /v1/a?b#c *'),
      ...words('/v1/mod\x01els /v1/models\x7f v1/models https:/v1'),
    ],
    to,
  ),
)
refused(
  [[400, 421], BAD_PATH, 'usable'],
  [['B29 an absolute target by https', to(`https://127.0.0.1${CHAT}`)]],
)
const ORIGIN: Fate = [403, 'origin_not_allowed', 'usable']
refused(ORIGIN, [
  ...each(
    'B22',
    [
      'Origin: https://evil.example',
      'Origin: null',
      'Origin: http://127.0.0.1:8000',
      'Origin: ',
      'Origin: https://evil.example\r\nSec-Fetch-Site: same-origin',
    ],
    line,
  ),
  ...each('B23', ['none, cross-site', ...words('cross-site same-site CROSS-SITE x')], (site) =>
    line(`Sec-Fetch-Site: ${site}`),
  ),
  ['B22 a page asks for metrics', get('/metrics', ['Origin: null'])],
  ['B23 a page asks for the status', get('/gate/status', ['Sec-Fetch-Site: cross-site'])],
])
refused(
  [[426, 501], 'upgrade_not_supported', 'any'],
  [
    ['B35 websocket, GET, where there is none', get('/v1/models', socket)],
    ['B35 websocket, POST', line('Connection: keep-alive, Upgrade\r\nUpgrade: websocket')],
    [
      'B35 h2c with websocket',
      get('/v1/models', ['Connection: Upgrade', 'Upgrade: h2c, websocket', ...key]),
    ],
  ],
)

// Types and codings of a body.
refused(
  [[400, 415], ['unsupported_media_type', 'bad_framing'], 'any'],
  [
    ['B24 no content type', chat({ type: null })],
    ...each(
      'B24',
      [
        'Content-Type: text/plain',
        'Content-Type: application/x-www-form-urlencoded',
        'Content-Type: multipart/form-data; boundary=x',
        'Content-Type:',
      ],
      typed,
    ),
    ...each(
      'B25',
      [
        'application/json; charset=utf-16',
        'application/json; charset=utf-8; charset=latin1',
        'application/json; x=y',
        'application/json, text/plain',
        'text/plain, application/json',
        'application/json\ta',
        'application /json',
        'application/json; charset="utf-8',
        'application/json; charset=utf-8"',
        'toString; charset=utf-8',
        ...words(`
          application/json;charset=latin1 application/json<script> application/json/extra
          application/jsonx xapplication/json application/json5 application/vnd.api+json
          "application/json" application\\json application/json\x00 text/json */* json
          __proto__ constructor __proto__/json
        `),
      ],
      (type) => typed(`Content-Type: ${type}`),
    ),
    ['B25 JSON and text', typed(`${JSON_LINE}\r\nContent-Type: text/plain`)],
    ['B25 JSON twice', typed(`${JSON_LINE}\r\n${JSON_LINE}`)],
  ],
)
refused(
  [417, 'expectation_failed', 'any'],
  each(
    'B34 Expect:',
    ['y 100-continue', '100-continue, 100-continue', '100-continue\r\nExpect: 100-continue'].concat(
      words('x 200-ok'),
    ),
    (value) => line(`Expect: ${value}`),
  ),
)
refused(
  [[400, 415], ['unsupported_content_encoding', 'bad_framing'], 'any'],
  each(
    'B53 Content-Encoding',
    [
      ...words('gzip br zstd deflate'),
      Array(10).fill('gzip').join(', '),
      'gzip\r\nContent-Encoding: identity',
      'identity, gzip',
    ],
    (value) => line(`Content-Encoding: ${value}`),
  ),
)

// Bodies.
refused(
  [400, ['invalid_json', 'invalid_body', 'invalid_utf8'], 'usable'],
  [
    ...each(
      'B41',
      [
        '',
        ' ',
        '// {}',
        `${GOOD} x`,
        ...words(`
          null [] 1 "a" true { {}} {"a":1,} {'a':1} {"a":NaN} {"a":01} {"a":"\x01"} {"a":"\\x"} {"a"}
          {}{} {"a":1}\0
        `),
        '\xef\xbb\xbf{}',
      ],
      body,
    ),
    ['B43 UTF-16LE', body(Buffer.from(GOOD, 'utf16le').toString('latin1'))],
    ['B43 UTF-16, BOM', body(`\xff\xfe${Buffer.from(GOOD, 'utf16le').toString('latin1')}`)],
    ['B43 UTF-32', body([...GOOD].map((c) => `\0\0\0${c}`).join(''))],
  ],
)
refused(
  [400, 'invalid_utf8', 'usable'],
  each('B42', words('\xff \xc0\xae \xed\xa0\x80 \xe9 \xf5\x80\x80\x80 \xc3'), (bad) =>
    body(GOOD.replace('hi', bad)),
  ),
)
refused(
  [400, 'json_too_deep', 'usable'],
  [201, 100_000, 1_000_000].flatMap((depth): Input[] => [
    [`B47 arrays ${depth} deep`, body(`{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`)],
    [`B47 objects ${depth} deep, open`, body('{"a":'.repeat(Math.min(depth, 500_000)))],
  ]),
)
refused(
  [400, 'json_too_complex', 'usable'],
  [
    ['B48 a number of a million digits', body(`{"a":${'1'.repeat(1_000_000)}}`)],
    ['B48 a million empty objects', body(`{"a":[${'{},'.repeat(1_000_000)}0]}`)],
    ['B48 200,000 keys', body(`{${Array.from({ length: 200_000 }, (_, i) => `"${i}":0`).join()}}`)],
  ],
)
refused(
  [400, 'ambiguous_key', 'usable'],
  [
    ['B45 a key in another case beside the model', body('{"model":"m","Model":"other"}')],
    ['B45 STREAM alone', body('{"model":"m","STREAM":true}')],
  ],
)
const named = (value: string): string => body(GOOD.replace('"default"', value))
const long = (length: number): string => `"${'m'.repeat(length)}"`
refused(
  [400, 'invalid_model', 'usable'],
  each('B54 model', [...words('1 [] {} true'), long(257), long(1_000_000)], named),
)
refused(
  [404, 'model_not_found', 'usable'],
  [
    ...each(
      'B54 model',
      [
        '" default"',
        ...words(`
          "a\\nb" "../../x" "http://evil.example/m" "unknown" "__proto__" "constructor" "\\ud800"
          "toString" "default\\u0000" "m\\u202e"
        `),
      ],
      named,
    ),
    ['B55 model default_model', named('"default_model"')],
  ],
)
refused(
  [400, 'invalid_type', 'usable'],
  each('B56 stream', words('"true" 1 [] {} 0 ""'), (value) =>
    body(GOOD.replace('{', `{"stream":${value},`)),
  ),
)
const piece = `100000\r\n${'x'.repeat(0x100000)}\r\n`
refused(
  [413, 'request_too_large', 'closed'],
  [
    ['B50 a length over the limit', chat({ bare: true, lines: ['Content-Length: 999999999999'] })],
    ['B50 a chunked body over the limit', chunks(`${piece.repeat(6)}0\r\n\r\n`)],
    ['B50 a body over it, sent before the answer is read', body('x'.repeat(6 * 1024 * 1024))],
  ],
)

t.test('the gate is sound after all of it', (t) => isSound(t, pair))
