import t from 'tap'
import type { RouteDecision } from '../../src/core/route.ts'
import {
  evidenceOf,
  type Failed,
  failedByContent,
  failedByStatus,
  failedByTransport,
  mayFollow,
  stalled,
} from '../../src/proxy/ending.ts'
import { World } from '../support/world.ts'

const answer = (status: number, body = '{}') => ({ status, headers: {}, body: Buffer.from(body) })
const what = { at: 10, sentAt: 3, streamed: true, work: 'generation' } as const
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

t.test('evidenceOf() teaches what each ending is worth', async (t) => {
  t.equal(evidenceOf({ kind: 'aborted' }, what), null)
  t.match(evidenceOf({ kind: 'finished' }, what), { type: 'finished', tookMs: 7 })
  t.equal(evidenceOf({ kind: 'passed', status: 400, answer: answer(400) }, what), null)
  t.match(evidenceOf({ kind: 'passed', status: 403, answer: null }, what), { type: 'live_refused' })
  const cut = { kind: 'cut', code: 'upstream_truncated', detail: '' } as const
  t.match(evidenceOf(cut, what), { type: 'live_failure', failure: 'truncated' })
  t.match(evidenceOf(failedByStatus('busy', answer(503)) as Failed, what), { type: 'live_busy' })
  t.match(evidenceOf(failedByStatus('misconfigured', answer(404, 'model')) as Failed, what), {
    type: 'live_misconfigured',
    reason: 'model_not_found',
  })
  t.match(evidenceOf(failedByContent('upstream_error', ''), what), { failure: 'error_body' })
  t.match(evidenceOf(failedByContent('upstream_protocol_error', ''), what), {
    failure: 'invalid_response',
  })
  t.equal(evidenceOf(stalled('a', 5), what), null, 'our own decision is no evidence')
  t.match(evidenceOf(stalled('a', 5), { ...what, cold: true }), { type: 'load_failed' })
  t.match(evidenceOf({ kind: 'finished' }, { ...what, cold: true }), { cold: true })
})

t.test(
  'evidenceOf() lets an embedding speak of embeddings, and a count of tokens of nothing',
  async (t) => {
    const embedding = { ...what, work: 'embedding' } as const
    const none = { ...what, work: null }
    const finished = { kind: 'finished' } as const
    t.match(evidenceOf(finished, embedding), { type: 'work_done', work: 'embedding', tookMs: 7 })
    t.equal(evidenceOf(finished, none), null)
    const broken = failedByStatus('suspect', answer(500)) as Failed
    t.match(evidenceOf(broken, embedding), { type: 'work_failed', work: 'embedding' })
    t.equal(evidenceOf(broken, none), null)
    t.equal(evidenceOf(failedByStatus('busy', answer(503)) as Failed, embedding), null)
    const refused = failedByTransport(code('ECONNREFUSED'))
    for (const one of [embedding, none]) {
      t.match(evidenceOf(refused, one), { type: 'live_failure', failure: 'refused' })
    }
  },
)

t.test(
  'mayFollow() stops after two upstreams, and moves a refusal only to an eligible one',
  async (t) => {
    const entry = new World().entry('a')
    const next = (serves: 'first' | 'last'): RouteDecision => ({
      kind: 'forward',
      entry,
      model: null,
      means: null,
      serves,
    })
    const failed = failedByStatus('suspect', answer(500)) as Failed
    const busy = failedByStatus('busy', answer(429)) as Failed
    t.equal(mayFollow(failed, next('last'), 1), true)
    t.equal(mayFollow(failed, next('first'), 2), false)
    t.equal(mayFollow(failed, { kind: 'exhausted' }, 1), false)
    t.equal(mayFollow(busy, next('first'), 1), true)
    t.equal(mayFollow(busy, next('last'), 1), false)
    t.equal(mayFollow(busy, { kind: 'hold', starting: false }, 1), false)
  },
)
