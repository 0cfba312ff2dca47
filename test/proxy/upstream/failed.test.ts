import t from 'tap'
import { failedByStatus, failedByTransport } from '../../../src/proxy/upstream/failed.ts'

const answer = (status: number, body = '{}') => ({ status, headers: {}, body: Buffer.from(body) })
const code = (value: string) => Object.assign(new Error('x'), { code: value })

t.test('failedByStatus() keeps the answer to pass on, but not one about our own key', async (t) => {
  t.equal(failedByStatus('pass', answer(400)), null)
  t.match(failedByStatus('busy', answer(503)), { why: 'busy', answer: { status: 503 } })
  t.match(failedByStatus('suspect', answer(500)), { why: 'http_5xx', answer: { status: 500 } })
  t.equal(failedByStatus('misconfigured', answer(404)), null, 'the route is missing: its business')
  t.equal(failedByStatus('pass', answer(401)), null, 'the client may be the one that is refused')
  t.match(failedByStatus('pass', answer(401, 'bad key k-1'), 'Bearer k-1'), {
    why: 'unauthorized',
    answer: null,
  })
  t.match(failedByStatus('misconfigured', answer(404, 'no such model')), {
    why: 'model_not_found',
    answer: null,
  })
})

t.test('failedByTransport() tells what was never sent from what may have been', async (t) => {
  t.match(failedByTransport(code('ECONNREFUSED')), { why: 'refused', sent: false })
  t.match(failedByTransport(code('UND_ERR_CONNECT_TIMEOUT')), { why: 'unreachable', sent: false })
  t.match(failedByTransport(code('ECONNRESET')), { why: 'reset', sent: true })
  t.match(failedByTransport(code('HPE_INVALID_CONSTANT')), { why: 'invalid_response', sent: true })
  t.match(failedByTransport(code('EMFILE')), { why: 'ours', sent: false })
})
