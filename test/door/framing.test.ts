import * as fc from 'fast-check'
import t from 'tap'
import { canonicalPath } from '../../src/door/framing.ts'
import { holds } from '../support/property.ts'
import { APP, type Ask, codeOf, codeWith, lines } from './guard-ask.ts'

// Rows of docs/bad-input.md that are shown here: B03, B04, B27, B28.

t.test('framingFault B02–B05: lengths and codings', async (t) => {
  for (const value of ['+27', '-1', '0x1b', '', '27, 27', '18446744073709551616', '1 2']) {
    t.equal(codeWith('Content-Length', value), 'bad_framing', value)
  }
  t.equal(codeWith('Content-Length', '0027'), 'ok')
  for (const value of ['xchunked', 'chunked, identity', 'chunked, chunked', '\vchunked', '']) {
    t.equal(codeWith('Transfer-Encoding', value), 'bad_framing', JSON.stringify(value))
  }
  t.equal(codeWith('Transfer-Encoding', 'gzip, chunked'), 'unsupported_transfer_coding')
  t.equal(codeWith('Transfer-Encoding', 'Chunked'), 'ok')
})

t.test('framingFault B01, B06, B13–B15: what excludes each other', async (t) => {
  const [length, chunked] = ['Content-Length: 3', 'Transfer-Encoding: chunked']
  const cases: [string, Ask][] = [
    ['bad_framing', { version: '1.0', headers: lines(chunked) }],
    ['bad_framing', { version: '1.2' }],
    ['bad_framing', { version: '0.9' }],
    ['bad_framing', { version: '2.0' }],
    ['bad_framing', { headers: [['Host', null]] }],
    ['ok', { version: '1.0', headers: [['Host', null]] }],
  ]
  const pairs: [string, first: string, second: string][] = [
    ['bad_framing', length, chunked],
    ['bad_framing', length, 'content-length: 3'],
    ['bad_framing', chunked, chunked],
    ['bad_framing', 'Host: localhost', 'host: evil.example'],
    ['bad_framing', `Origin: ${APP}`, 'Origin: https://evil.example'],
    ['bad_framing', 'Content-Encoding: x', 'Content-Encoding: x'],
    ['expectation_failed', 'Expect: 100-continue', 'Expect: 100-continue'],
    ['unsupported_media_type', 'Content-Type: x', 'content-type: x'],
  ]
  for (const [expected, ...both] of pairs) cases.push([expected, { headers: lines(...both) }])
  for (const [expected, what] of cases) t.equal(codeOf(what), expected, JSON.stringify(what))
})

t.test('canonicalPath B26–B29: what has more than one reading is refused', async (t) => {
  for (const url of [
    ['/v1/../metrics', '/v1/..', '/..', '/v1/./models', '/v1/.', '/v1/%2e%2e/x', '/v1/.%2E/x'],
    ['/v1/..%2fx', '/v1/%2e%2e%2fx', '/v1/%5cx', '/v1\\x', '/v1/..\\x', '/v1/..;/x'],
    ['/v1/..;a=b/x', '/v1/.;/x', '/v1/%252e%252e/x', '/v1/%25252e/x', '/v1/%25%32%65/x'],
    [
      '/v1/%255c',
      '/v1/%252f',
      '/v1/%c0%ae',
      '/v1/%c0%ae%c0%ae/x',
      '/v1/%ff',
      '/v1/%ed%a0%80',
      '/v1/%zz',
      '/v1/%',
      '/v1/%2',
    ],
    ['/v1/%u002e', '//evil/v1', '//', '/v1//models', '/v1/models//', '/v1/models/a%2F%2Fb'],
    ['/v1/é', '/v1/\x01', '/v1/ x', '/v1/\x7f', '/v1/%00', '/v1/%0a', '/v1/%7f', '/v1/%C2%85'],
    ['/v1#x', '/v1?x#y', '/v1?x=é', '/v1?a b', '/v1%2Fmodels', '/v1/chat%2Fcompletions'],
    ['/v1/models%2Fx', '/V1/models/a%2Fb', '/v1/models/..%2F..%2Fmetrics', '/v1/models/a%5Cb'],
    ['/v1/models/%252F', '/v1/models/.', '', '*', 'v1/models', 'http://127.0.0.1/v1', '?x'],
  ].flat()) {
    t.equal(canonicalPath(url), null, JSON.stringify(url))
  }
})

t.test('canonicalPath: the rest has one spelling', async (t) => {
  for (const [url, path, query] of [
    ['/', '/', ''],
    ['/v1/chat/completions', '/v1/chat/completions', ''],
    ['/v1/chat/completions/', '/v1/chat/completions/', ''],
    ['/%761/%6dodels', '/v1/models', ''],
    ['/V1/models', '/V1/models', ''],
    ['/v1/a...b', '/v1/a...b', ''],
    ['/v1/...', '/v1/...', ''],
    ['/v1/.x', '/v1/.x', ''],
    ['/v1/@evil', '/v1/@evil', ''],
    ['/v1/a%3Ab%40c', '/v1/a:b@c', ''],
    ['/v1/a%3fb%23c', '/v1/a%3Fb%23c', ''],
    ['/v1/models/org/name', '/v1/models/org/name', ''],
    ['/v1/models/org%2Fname', '/v1/models/org/name', ''],
    ['/v1/models/a%20%c3%a9', '/v1/models/a%20%C3%A9', ''],
    ['/v1/models/100%25', '/v1/models/100%25', ''],
    ['/v1/models?x=%zz&y=../..', '/v1/models', '?x=%zz&y=../..'],
    ['/v1/models?', '/v1/models', '?'],
    ['/v1/models?a?b', '/v1/models', '?a?b'],
  ] as const) {
    t.strictSame(canonicalPath(url), { path, query }, url)
  }
})

t.test('canonicalPath: canonical is canonical, and stays below its root', async (t) => {
  const parts = fc.constantFrom(
    ...'/ / v1 models . .. %2e %2F %5c %25 2e ; x %C3%A9 %76 ? @ // %zz %00 ~ ! ( * < " {'.split(
      ' ',
    ),
  )
  const urls = fc.array(parts, { maxLength: 8 }).map((list) => `/v1/${list.join('')}`)
  holds(
    t,
    'twice is as good as once; URL parsers change nothing',
    fc.property(urls, (url) => {
      const once = canonicalPath(url)
      if (once === null) return true
      const twice = canonicalPath(once.path + once.query)
      const parsed = new URL(`http://x${once.path}`).pathname
      return twice?.path === once.path && twice.query === once.query && parsed === once.path
    }),
    5000,
  )
})
