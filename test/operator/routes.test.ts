import t from 'tap'
import { get, parse, raw, start } from '../door/start-server.ts'

t.test('every route of the gate answers GET and HEAD with the safety headers', async (t) => {
  const { port, events } = await start(t)
  for (const path of ['/livez', '/readyz', '/health', '/metrics', '/gate/status', '/']) {
    const got = await get(port, path)
    t.equal(got.status, 200, path)
    t.match(got.headers['x-request-id'], /^[0-9a-f-]{36}$/, path)
    t.equal(got.headers['x-content-type-options'], 'nosniff')
    t.equal(got.headers['cross-origin-resource-policy'], 'same-origin')
    const head = parse(
      await raw(port, `HEAD ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`),
    )
    t.equal(head.status, 200)
    t.equal(head.body, '', 'HEAD has no body')
    t.equal(head.headers['content-length'], got.headers['content-length'])
    const post = await raw(
      port,
      `POST ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}`,
    )
    t.equal(parse(post).status, 405, path)
    t.equal(parse(post).headers['allow'], 'GET, HEAD')
  }
  t.equal((await get(port, '/health')).body, '')
  t.equal((await get(port, '/metrics')).body, 'gengate_x 1\n')
  t.equal((await get(port, '/metrics')).headers['content-type'], 'text/plain; version=0.0.4')
  t.equal((await get(port, '/health?model=gone')).status, 503)
  t.equal((await get(port, '/readyz?verbose&model=gone')).body, 'no true\n')
  t.match((await get(port, '/')).body, /base URL.*\/v1/)
  t.equal(events.filter((event) => event.type === 'refused').length, 6, 'the six 405, no more')
})

t.test('models ids may contain slashes, encoded or not', async (t) => {
  const { port, events } = await start(t)
  t.equal((await get(port, '/v1/models/org/name')).body, 'org/name')
  t.equal((await get(port, '/v1/models/org%2Fna%20me')).body, 'org/na me')
  const list = await get(port, '/v1/models')
  t.equal(list.status, 503)
  t.equal(list.headers['retry-after'], '1')
  t.match(events.at(-1), { type: 'refused', path: '/v1/models', code: 'no_eligible_upstream' })
  t.equal((await get(port, '/v1/models/')).status, 404)
  const wrong = await raw(
    port,
    'DELETE /v1/models/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n',
  )
  t.equal(parse(wrong).status, 405)
})
