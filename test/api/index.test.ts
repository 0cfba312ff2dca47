import t from 'tap'
import { type OperatorParts, operatorRoutes } from '../../src/operator/routes.ts'
import { allowOf, knownPath, laneOf, LANES, PASSTHROUGH } from '../../src/api/index.ts'
import { ANSWERS } from '../support/answer-apis.ts'

t.test('laneOf() finds a row by method and canonical path', async (t) => {
  t.match(laneOf('POST', '/v1/chat/completions'), {
    route: 'chat',
    api: ANSWERS.chat,
    replay: true,
  })
  t.match(laneOf('POST', '/v1/responses'), { route: 'responses', body: 'buffered' })
  t.match(laneOf('POST', '/v1/audio/transcriptions'), { body: 'by_type', replay: false })
  t.match(laneOf('POST', '/rerank'), { route: 'rerank', api: ANSWERS.json })
})

t.test('laneOf() lets the rest of /v1 through as it comes, and nothing outside', async (t) => {
  for (const [method, path] of [
    ['POST', '/v1/audio/voices'],
    ['GET', '/v1/videos'],
    ['GET', '/v1/responses/resp_1'],
    ['DELETE', '/v1/files/x'],
    ['POST', '/v1/whatever'],
  ] as const) {
    t.equal(laneOf(method, path), PASSTHROUGH, `${method} ${path}`)
  }
  for (const path of ['/rerank2', '/metrics', '/v1', '/v1/', '/v2/other', '/']) {
    t.equal(laneOf('POST', path), null, path)
  }
  t.equal(laneOf('GET', '/tokenize'), null)
})

t.test('a lane that may be sent again is read whole and judged', async (t) => {
  for (const lane of LANES) {
    if (lane.replay) t.match(lane, { body: 'buffered', api: {}, route: /./ })
    else t.match(lane, { body: 'by_type', api: null, route: /./ })
  }
  t.match(PASSTHROUGH, { replay: false, body: 'streamed', api: null, route: null })
})

const outside = LANES.flatMap(({ path }) =>
  path === null || path.startsWith('/v1/') ? [] : [path],
)

t.test('paths are unique, and few stand outside of /v1', async (t) => {
  const paths = LANES.map(({ path }) => path)
  t.equal(new Set(paths).size, paths.length)
  t.strictSame(outside, [
    '/v2/rerank',
    '/rerank',
    '/score',
    '/classify',
    '/pooling',
    '/tokenize',
    '/detokenize',
  ])
})

t.test('knownPath() and allowOf() follow the path', async (t) => {
  for (const path of [
    ...outside,
    ...Object.keys(operatorRoutes({} as OperatorParts)).filter((route) => /[^*/]$/.test(route)),
  ]) {
    t.equal(knownPath(`${path}/`), path)
  }
  t.equal(knownPath('/v1/files/'), '/v1/files/')
  t.equal(allowOf('/rerank'), 'POST, OPTIONS')
  t.equal(allowOf('/v1/chat/completions'), 'POST, OPTIONS')
  t.match(allowOf('/v1/files/x'), /DELETE/)
})
