import t from 'tap'
import { type GuardPolicy, guardPolicy } from '../../src/door/guards.ts'
import { ask, codeOf, codeWith, LOCKED, SETTINGS } from '../support/guard-ask.ts'

function keyed(...headers: [string, string][]): string {
  return codeOf({ policy: LOCKED, headers })
}

t.test('checkRequest B39, B40: keys', async (t) => {
  t.equal(keyed(['Authorization', 'Bearer key-one']), 'ok')
  t.equal(keyed(['Authorization', 'bearer  key-two']), 'ok')
  t.equal(keyed(['X-Api-Key', 'key-two']), 'ok')
  t.equal(keyed(['Authorization', 'Bearer nope'], ['X-Api-Key', 'key-two']), 'ok')
  for (const value of [
    'Bearer',
    'Bearer ',
    'Bearer nope',
    'Bearer key-on',
    'Bearer key-onex',
    'Bearer KEY-ONE',
    'Bearer key-one x',
    'Bearer key-one, Bearer key-two',
    'Bearerkey-one',
    'Basic key-one',
    'key-one',
    '',
    `Bearer ${'x'.repeat(10_000)}`,
  ]) {
    t.equal(keyed(['Authorization', value]), 'invalid_api_key', value.slice(0, 40))
  }
  t.equal(keyed(), 'invalid_api_key')
  t.equal(keyed(['X-Api-Key', '']), 'invalid_api_key')
  t.equal(
    keyed(['Authorization', 'Bearer key-one'], ['authorization', 'Bearer key-one']),
    'invalid_api_key',
    'twice is none',
  )
  t.equal(keyed(['x-api-key', 'key-one'], ['X-Api-Key', 'x']), 'invalid_api_key')
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
  for (const url of [
    '/v1/models',
    '/v1/x',
    '/v1/files/x',
    '/v1/responses/x',
    '/api/tags',
    '/Livez',
    '/gatex',
  ]) {
    t.equal(get(url, LOCKED), 'invalid_api_key', url)
  }
  for (const url of ['/tokenize', '/rerank', '/v2/rerank', '/v1/audio/transcriptions']) {
    t.equal(codeOf({ url, policy: LOCKED }), 'invalid_api_key', url)
  }
  t.equal(get('/', LOCKED), 'ok')
  t.equal(get('/', LOCKED, 'evil.example'), 'host_not_allowed')
})
