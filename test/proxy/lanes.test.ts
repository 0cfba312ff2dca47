import t from 'tap'
import { allowOf, laneOf, LANES, methodsOf } from '../../src/proxy/lanes.ts'

t.test('laneOf knows its routes by method and exact path', async (t) => {
  t.match(laneOf('POST', '/v1/chat/completions'), { api: 'chat', body: 'buffered', replay: true })
  t.match(laneOf('POST', '/v1/completions'), { api: 'completions' })
  t.match(laneOf('POST', '/v1/embeddings'), { api: 'embeddings' })
  for (const [method, path] of [
    ['GET', '/v1/chat/completions'],
    ['POST', '/v1/chat/completions/'],
    ['POST', '/V1/chat/completions'],
    ['POST', '/v1/models'],
    ['post', '/v1/embeddings'],
    ['POST', '__proto__'],
  ] as const) {
    t.equal(laneOf(method, path), null, `${method} ${path}`)
  }
})

t.test('no two lanes claim the same route', async (t) => {
  t.equal(new Set(LANES.map(({ method, path }) => `${method} ${path}`)).size, LANES.length)
})

t.test('allowOf says what a wrong method should have been', async (t) => {
  t.strictSame(methodsOf('/v1/embeddings'), ['POST'])
  t.strictSame(methodsOf('/v1/models'), [])
  t.equal(allowOf('/v1/embeddings'), 'POST, OPTIONS')
  t.equal(allowOf('/v1/models'), 'GET, HEAD, POST, PATCH, DELETE, OPTIONS')
})
