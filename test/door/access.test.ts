import t from 'tap'
import {
  corsHeaders,
  type GuardPolicy,
  guardPolicy,
  isHostAllowed,
  viaOf,
} from '../../src/door/access.ts'
import type { GuardResult } from '../../src/door/guards.ts'
import { APP, ask, codeOf, codeWith, lines, LOCKED, OPEN, SETTINGS } from './guard-ask.ts'

// Rows of docs/bad-input.md that are shown here: origin-null.

const SERVED = `localhost LOCALHOST:8000 127.0.0.1 127.0.0.1:1 [::1] [::1]:8000 10.1.2.3 0.0.0.0:8000
  host.docker.internal:8000 host.containers.internal gate.lan GATE.LAN:65535 [fe80::1]:80`

const FOREIGN = `:8000 evil.example localhost.evil 127.0.0.1.nip.io xlocalhost 127.1 0x7f.1 0x7f000001
  2130706433 127.0.0.01 127.0.0.256 [::ffff:127.0.0.1] [::ffff:7f00:1] [::1%25lo] [::1%lo] [::1 ::1
  [] [localhost] localhost. 127.0.0.1. user@localhost user:pw@localhost:80 localhost: localhost:0
  localhost:65536 localhost:80:80 localhost:8x localhost/ localhost,evil gate.lan.evil -gate.lan
  gate..lan __proto__ loc\u0430lhost`

t.test('isHostAllowed B16, B17: names and literals, strictly', async (t) => {
  for (const host of SERVED.split(/\s+/)) t.ok(isHostAllowed(host, OPEN.hosts), host)
  for (const host of [...FOREIGN.split(/\s+/), '', ' localhost', 'localhost\t']) {
    t.notOk(isHostAllowed(host, OPEN.hosts), JSON.stringify(host))
  }
})

t.test('checkRequest B16, B18, B19: the host that the request names', async (t) => {
  t.equal(codeWith('Host', 'evil.example'), 'host_not_allowed')
  t.equal(codeWith('Host', ''), 'host_not_allowed')
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
    t.equal(codeOf({ url }), 'host_not_allowed', url)
  }
  const both = { url: 'http://localhost/v1/models', headers: [['Host', 'evil.example']] } as const
  t.equal(codeOf(both), 'host_not_allowed', 'neither may be foreign')
  for (const url of ['https://localhost/v1', 'ftp://localhost/', 'localhost:80', 'http:/x', '*']) {
    t.equal(codeOf({ url }), 'bad_path', url)
  }
  t.equal(codeOf({ url: 'http://localhost/v1/../metrics' }), 'bad_path')
})

t.test('checkRequest B22, B23: web pages that nobody allowed', async (t) => {
  const origins = ['https://evil.example', 'null', '', 'http://localhost:3000', `${APP}.evil`]
  for (const origin of [...origins, `${APP}/`]) {
    t.equal(codeWith('Origin', origin), 'origin_not_allowed', origin)
  }
  for (const site of ['cross-site', 'same-site', 'nonsense']) {
    t.equal(codeWith('Sec-Fetch-Site', site), 'origin_not_allowed', site)
    t.equal(codeOf({ headers: lines(`Origin: ${APP}`, `Sec-Fetch-Site: ${site}`) }), 'ok')
  }
  for (const site of ['none', 'same-origin']) t.equal(codeWith('Sec-Fetch-Site', site), 'ok')
  const health = { method: 'GET', url: '/readyz', headers: [['Origin', 'https://evil.example']] }
  t.equal(codeOf(health as never), 'origin_not_allowed', 'pages may not even ask for health')
})

t.test('checkRequest B22, B23: no lane lets strangers in, whatever they send', async (t) => {
  const pages = ['Origin: https://evil.example', 'Origin: null']
  const strangers = lines(...pages, 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Site: same-site')
  for (const url of ['/v1/whatever', '/v1/audio/transcriptions', '/v1/files/x', '/rerank']) {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      for (const type of ['multipart/form-data; boundary=x', 'text/plain', null]) {
        for (const stranger of strangers) {
          const headers = [stranger, ['Content-Type', type] as const]
          const what = `${method} ${url} ${type}`
          t.equal(codeOf({ method, url, headers }), 'origin_not_allowed', what)
        }
      }
    }
  }
})

t.test('checkRequest: 24 combinations of host, origin, type and method', async (t) => {
  const passed: string[] = []
  for (const host of ['localhost:8000', 'evil.example']) {
    for (const origin of [null, 'https://evil.example', APP]) {
      for (const type of ['application/json', 'text/plain']) {
        for (const method of ['POST', 'GET']) {
          const more = lines(`Host: ${host}`, `Content-Type: ${type}`)
          const code = codeOf({ method, headers: [...more, ['Origin', origin]] })
          if (code === 'ok') passed.push(`${host} ${origin} ${type} ${method}`)
        }
      }
    }
  }
  t.strictSame(passed, [
    'localhost:8000 null application/json POST',
    `localhost:8000 ${APP} application/json POST`,
  ])
})

t.test('checkRequest: pages without an origin may ask under /v1 where null is named', async (t) => {
  const policy = guardPolicy({ ...SETTINGS, origins: ['null'] })
  const headers = lines('Origin: null', 'Sec-Fetch-Site: cross-site')
  t.match(ask({ headers, policy }), { ok: true, cors: { 'access-control-allow-origin': 'null' } })
  t.equal(codeOf({ method: 'GET', url: '/v1/models', headers, policy }), 'ok')
  for (const url of ['/gate/status', '/metrics', '/readyz', '/rerank', '/', '/v1']) {
    for (const method of ['GET', 'OPTIONS']) {
      t.equal(codeOf({ method, url, headers, policy }), 'origin_not_allowed', `${method} ${url}`)
    }
  }
  t.equal(codeOf({ headers }), 'origin_not_allowed', 'by name alone')
})

t.test('preflights from public pages to this machine: for allowed origins', async (t) => {
  const asks = ['Access-Control-Request-Private-Network', 'true'] as const
  const name = 'access-control-allow-private-network'
  const allow = (
    origin: string,
    more: readonly (readonly [string, string])[] = [asks],
  ): unknown => {
    const result = ask({ method: 'OPTIONS', headers: [['Origin', origin], ...more] })
    return result.ok ? result.cors[name] : result.code
  }
  t.equal(allow(APP), 'true')
  t.equal(allow(APP, []), undefined, 'not unless it is asked for')
  t.equal(allow('https://evil.example'), 'origin_not_allowed')
  const plain = ask({ headers: [['Origin', APP], asks] })
  t.notOk(plain.ok && plain.cors[name], 'in preflights only')
})

function preflight(origin: string | null, asked: string | null = null): GuardResult {
  const wanted = ['Access-Control-Request-Headers', asked] as const
  const method = ['Access-Control-Request-Method', 'POST'] as const
  return ask({ method: 'OPTIONS', policy: LOCKED, headers: [['Origin', origin], method, wanted] })
}

t.test('checkRequest B21: preflights', async (t) => {
  const result = preflight(APP, 'authorization,x-stainless-os, content-type')
  t.match(result, {
    ok: true,
    cors: {
      'access-control-allow-origin': APP,
      'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE, OPTIONS',
      'access-control-allow-headers': 'authorization,x-stainless-os, content-type',
      vary: 'Origin, Access-Control-Request-Headers',
    },
  })
  t.notMatch(JSON.stringify(result), /private-network|credentials/)
  const plain = 'authorization, content-type, x-api-key'
  for (const asked of ['x\u00e9', 'a b', '*', 'x'.repeat(2000), null]) {
    t.match(preflight(APP, asked), { cors: { 'access-control-allow-headers': plain } })
  }
  t.match(preflight('https://evil.example'), { ok: false, code: 'origin_not_allowed' })
  const nobody = {
    ok: true,
    path: '/v1/chat/completions',
    query: '',
    cors: { vary: 'Origin' },
    via: '1.1 gengate-me',
  }
  t.strictSame(preflight(null), nobody, 'no page asks: nothing to allow')
  t.match(ask({ method: 'OPTIONS', url: '*' }), { ok: true, path: '*' })
})

t.test('corsHeaders: for an allowed page only, on refusals too', async (t) => {
  t.match(ask({ headers: [['Origin', APP]] }), { cors: corsHeaders(APP, OPEN) })
  t.match(corsHeaders(APP, OPEN), { 'access-control-allow-origin': APP, vary: 'Origin' })
  t.strictSame(corsHeaders('https://evil.example', OPEN), { vary: 'Origin' })
  t.match(ask({ headers: lines(`Origin: ${APP}`, 'Content-Type: text/plain') }), {
    code: 'unsupported_media_type',
    headers: { 'access-control-allow-origin': APP },
  })
  const none = guardPolicy({ ...SETTINGS, origins: [] })
  t.match(ask({ policy: none }), { ok: true, cors: {} })
  t.strictSame(corsHeaders(APP, none), {})
})

const keyed = (...headers: string[]) => codeOf({ policy: LOCKED, headers: lines(...headers) })

t.test('checkRequest B39, B40: keys', async (t) => {
  t.equal(keyed('Authorization: Bearer key-one'), 'ok')
  t.equal(keyed('Authorization: bearer  key-two'), 'ok')
  t.equal(keyed('X-Api-Key: key-two'), 'ok')
  t.equal(keyed('Authorization: Bearer nope', 'X-Api-Key: key-two'), 'ok')
  const near = ['nope', 'key-on', 'key-onex', 'KEY-ONE', 'key-one x', 'key-one, Bearer key-two']
  const bearers = ['', ...near, 'x'.repeat(10_000)].map((key) => `Bearer ${key}`)
  for (const value of [...bearers, 'Bearer', 'Bearerkey-one', 'Basic key-one', 'key-one', '']) {
    t.equal(keyed(`Authorization: ${value}`), 'invalid_api_key', value.slice(0, 40))
  }
  t.equal(keyed(), 'invalid_api_key')
  t.equal(keyed('X-Api-Key: '), 'invalid_api_key')
  const [one, again] = ['Authorization: Bearer key-one', 'authorization: Bearer key-one']
  t.equal(keyed(one, again), 'invalid_api_key', 'twice is none')
  t.equal(keyed('x-api-key: key-one', 'X-Api-Key: x'), 'invalid_api_key')
  t.equal(codeOf({ policy: LOCKED, url: '/v1/completions?key=key-one' }), 'invalid_api_key')
  t.match(ask({ policy: LOCKED }), { headers: { 'www-authenticate': 'Bearer' } })
  t.equal(codeWith('Authorization', 'Bearer anything'), 'ok', 'where no key is set')
  t.notMatch(JSON.stringify(LOCKED), /key-one/, 'kept as hashes only')
})

function get(url: string, policy: GuardPolicy, host = 'localhost'): string {
  return codeOf({ method: 'GET', url, policy, headers: [['Host', host]] })
}

t.test('checkRequest: which paths need what', async (t) => {
  const operator = guardPolicy({ ...SETTINGS, keys: ['k'], operatorNeedsKey: true })
  for (const url of ['/livez', '/readyz', '/readyz?verbose', '/health']) {
    t.equal(get(url, operator, 'gate-7f.svc.cluster.local:8000'), 'ok', `${url} needs neither`)
  }
  for (const url of ['/metrics', '/gate/status', '/gate/']) {
    t.equal(get(url, operator), 'invalid_api_key', `${url} off loopback`)
    t.equal(get(url, LOCKED), 'ok', `${url} on loopback`)
    t.equal(get(url, LOCKED, 'evil.example'), 'host_not_allowed')
  }
  const lanes = ['/v1/models', '/v1/x', '/v1/files/x', '/v1/responses/x']
  for (const url of [...lanes, '/api/tags', '/Livez', '/gatex']) {
    t.equal(get(url, LOCKED), 'invalid_api_key', url)
  }
  for (const url of ['/tokenize', '/rerank', '/v2/rerank', '/v1/audio/transcriptions']) {
    t.equal(codeOf({ url, policy: LOCKED }), 'invalid_api_key', url)
  }
  t.equal(get('/', LOCKED), 'ok')
  t.equal(get('/', LOCKED, 'evil.example'), 'host_not_allowed')
})

t.test('viaOf B68: own id, or more than five gates, is a loop', async (t) => {
  t.strictSame(viaOf(undefined, 'me'), { value: '1.1 gengate-me', loop: false })
  t.strictSame(viaOf('1.1 gengate-a, 1.0 fred, HTTP/1.1 gengate-b (x)', 'me'), {
    value: '1.1 gengate-a, 1.1 gengate-b, 1.1 gengate-me',
    loop: false,
  })
  for (const via of ['1.1 gengate-me2', '1.1 x-gengate-me', gates(5)]) {
    t.notOk(viaOf(via, 'me').loop, via)
  }
  for (const via of ['1.1 gengate-me', gates(6), [gates(3), gates(3)]]) {
    t.ok(viaOf(via, 'me').loop, String(via))
  }
  t.ok(viaOf(gates(1000), 'me').value.length < 200, 'what is sent on does not grow')
  t.strictSame(viaOf('1.1 gengate-a\r\nx: y', 'me').value.includes('\r'), false)
})

/** A chain of this many other gates. */
function gates(count: number): string {
  return Array.from({ length: count }, (_, i) => `1.1 gengate-x${i}`).join(', ')
}
