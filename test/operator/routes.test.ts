import t from 'tap'
import type { Answer } from '../../src/errors/answer.ts'
import { operatorRoutes } from '../../src/operator/routes.ts'
import { spec, tableConfig, World } from '../support/world.ts'

const world = new World(
  tableConfig({ specs: [spec({ name: 'a', engine: 'vllm', model: 'org/na me' })] }),
)
const routes = operatorRoutes({
  metrics: { contentType: 'text/plain; version=0.0.4', text: async () => 'gengate_x 1\n' },
  table: () => world.table,
  now: () => ({
    nowMs: world.table.config.health.detectWithinMs,
    wallMs: 0,
    startedAtMs: 0,
    inFlight: () => 0,
    version: '1.2.3',
    instance: 'i-1',
    configState: { ok: true, error: null, shadowed: [] },
    draining: false,
  }),
  startedWallMs: 1_800_000_000_000,
})

async function get(route: string, path = route, query = ''): Promise<Answer> {
  const answer = await routes[route]?.({ requestId: 'r-1', path, query, cors: {}, via: '' })
  if (answer === null || answer === undefined) throw new Error('no answer')
  return answer
}

t.test('each route answers with the safety headers and the id of the request', async (t) => {
  world.pass('a')
  for (const route of Object.keys(routes).filter((path) => !path.endsWith('*'))) {
    const { status, headers, code } = await get(route)
    t.equal(status, 200, route)
    t.equal(code, null)
    t.match(headers, {
      'x-request-id': 'r-1',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin',
    })
  }
  t.match(await get('/metrics'), {
    body: 'gengate_x 1\n',
    headers: { 'content-type': 'text/plain; version=0.0.4' },
  })
  t.match((await get('/')).body, /^gengate 1\.2\.3: .*base URL.*\/v1/)
  t.match(JSON.parse((await get('/gate/status')).body), { version: '1.2.3', upstreams: [{}] })
})

t.test('readiness is asked for one model or for all, in few words or in many', async (t) => {
  world.pass('a')
  t.match(await get('/readyz'), { status: 200, body: 'ok\n' })
  t.match(await get('/readyz', '/readyz', '?model=gone'), { status: 404 })
  for (const query of ['?verbose', '?verbose=1', '?x&verbose']) {
    t.match(
      (await get('/readyz', '/readyz', query)).body,
      /^\[\+\]gate ok\n\[\+\]a ok\nok\n$/,
      query,
    )
  }
  for (const query of ['?verbose=0', '?verbose=false', '?Verbose']) {
    t.equal((await get('/readyz', '/readyz', query)).body, 'ok\n', query)
  }
  t.match(await get('/health', '/health', '?model=gone'), { status: 404, body: '' })
})

t.test("a model's id may contain slashes, encoded or not", async (t) => {
  world.pass('a')
  const route = '/v1/models/*'
  for (const id of ['org/na%20me', 'org%2Fna%20me']) {
    const { status, body } = await get(route, `/v1/models/${id}`)
    t.equal(status, 200, id)
    t.match(JSON.parse(body), { id: 'org/na me', object: 'model' })
  }
  t.match(await get(route, '/v1/models/other'), { status: 404, code: 'model_not_found' })
  t.match(await get(route, '/v1/models/%zz'), { status: 400, code: 'bad_path' })
  await t.rejects(get(route, '/v1/models/'), 'there is no such thing')
})

t.test('nothing servable: 503, which clients may try again', async (t) => {
  const outcome = { kind: 'fail', reason: 'refused', detail: 'ECONNREFUSED' } as const
  world.tell('a', { type: 'probe_ended', at: 60_000, outcome })
  world.tell('a', { type: 'probe_ended', at: 120_000, outcome })
  t.match(await get('/readyz'), { status: 503, body: 'not ready\n' })
  t.match(await get('/health'), { status: 503, body: '' })
  t.match(await get('/v1/models'), {
    status: 503,
    code: 'no_eligible_upstream',
    headers: { 'retry-after': /^\d+$/ },
  })
})
