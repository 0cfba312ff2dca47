import t from 'tap'
import { corsHeaders, guardPolicy, type GuardResult } from '../../src/door/guards.ts'
import { APP, ask, codeOf, codeWith, LOCKED, OPEN, SETTINGS } from '../support/guard-ask.ts'

t.test('checkRequest B22, B23: web pages that nobody allowed', async (t) => {
  const origins = ['https://evil.example', 'null', '', 'http://localhost:3000', `${APP}.evil`]
  for (const origin of [...origins, `${APP}/`]) {
    t.equal(codeWith('Origin', origin), 'origin_not_allowed', origin)
  }
  for (const site of ['cross-site', 'same-site', 'nonsense']) {
    t.equal(codeWith('Sec-Fetch-Site', site), 'origin_not_allowed', site)
    const allowed = [
      ['Origin', APP],
      ['Sec-Fetch-Site', site],
    ] as const
    t.equal(codeOf({ headers: allowed }), 'ok')
  }
  for (const site of ['none', 'same-origin']) t.equal(codeWith('Sec-Fetch-Site', site), 'ok')
  const health = { method: 'GET', url: '/readyz', headers: [['Origin', 'https://evil.example']] }
  t.equal(codeOf(health as never), 'origin_not_allowed', 'pages may not even ask for health')
})

t.test('checkRequest B22, B23: no lane lets strangers in, whatever they send', async (t) => {
  for (const url of ['/v1/whatever', '/v1/audio/transcriptions', '/v1/files/x', '/rerank']) {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      for (const type of ['multipart/form-data; boundary=x', 'text/plain', null]) {
        for (const [name, value] of [
          ['Origin', 'https://evil.example'],
          ['Origin', 'null'],
          ['Sec-Fetch-Site', 'cross-site'],
          ['Sec-Fetch-Site', 'same-site'],
        ] as const) {
          const headers = [[name, value] as const, ['Content-Type', type] as const]
          t.equal(
            codeOf({ method, url, headers }),
            'origin_not_allowed',
            `${method} ${url} ${type}`,
          )
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
          const headers = [
            ['Host', host],
            ['Origin', origin],
            ['Content-Type', type],
          ] as const
          if (codeOf({ method, headers }) === 'ok')
            passed.push(`${host} ${origin} ${type} ${method}`)
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
  const headers = [
    ['Origin', 'null'],
    ['Sec-Fetch-Site', 'cross-site'],
  ] as const
  t.match(ask({ headers, policy }), { ok: true, cors: { 'access-control-allow-origin': 'null' } })
  t.equal(codeOf({ method: 'GET', url: '/v1/models', headers, policy }), 'ok')
  for (const url of ['/gate/status', '/metrics', '/readyz', '/rerank', '/', '/v1']) {
    for (const method of ['GET', 'OPTIONS']) {
      t.equal(codeOf({ method, url, headers, policy }), 'origin_not_allowed', `${method} ${url}`)
    }
  }
  t.equal(codeOf({ headers }), 'origin_not_allowed', 'by name alone')
})

t.test(
  'a preflight from a public page to this machine is answered for allowed origins',
  async (t) => {
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
  },
)

function preflight(origin: string | null, asked: string | null = null): GuardResult {
  return ask({
    method: 'OPTIONS',
    policy: LOCKED,
    headers: [
      ['Origin', origin],
      ['Access-Control-Request-Method', 'POST'],
      ['Access-Control-Request-Headers', asked],
    ],
  })
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
  const nobody = { ok: true, path: '/v1/chat/completions', query: '', cors: { vary: 'Origin' } }
  t.strictSame(preflight(null), nobody, 'no page asks: nothing to allow')
  t.match(ask({ method: 'OPTIONS', url: '*' }), { ok: true, path: '*' })
})

t.test('corsHeaders: for an allowed page only, on refusals too', async (t) => {
  t.match(ask({ headers: [['Origin', APP]] }), { cors: corsHeaders(APP, OPEN) })
  t.match(corsHeaders(APP, OPEN), { 'access-control-allow-origin': APP, vary: 'Origin' })
  t.strictSame(corsHeaders('https://evil.example', OPEN), { vary: 'Origin' })
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
  const none = guardPolicy({ ...SETTINGS, origins: [] })
  t.match(ask({ policy: none }), { ok: true, cors: {} })
  t.strictSame(corsHeaders(APP, none), {})
})
