import t from 'tap'
import { evidenceOf, type Failed, mayFollow, stalled } from '../../../src/core/exchange/ending.ts'
import type { RouteDecision } from '../../../src/core/route.ts'
import { World } from '../../support/world.ts'

const answer = (status: number) => ({ status, headers: {}, body: Buffer.from('{}') })
const failed = (why: Failed['why'], over: Partial<Failed> = {}): Failed => ({
  kind: 'failed',
  why,
  code: 'upstream_error',
  detail: '',
  sent: true,
  answer: null,
  ...over,
})
const what = { at: 10, sentAt: 3, streamed: true, work: 'generation' } as const

t.test('evidenceOf() teaches what each ending is worth', async (t) => {
  t.equal(evidenceOf({ kind: 'aborted' }, what), null)
  t.match(evidenceOf({ kind: 'finished' }, what), { type: 'finished', tookMs: 7 })
  t.equal(evidenceOf({ kind: 'passed', status: 400, answer: answer(400) }, what), null)
  t.match(evidenceOf({ kind: 'passed', status: 403, answer: null }, what), { type: 'live_refused' })
  const cut = { kind: 'cut', code: 'upstream_truncated', detail: '' } as const
  t.match(evidenceOf(cut, what), { type: 'live_failure', failure: 'truncated' })
  t.match(evidenceOf(failed('busy'), what), { type: 'live_busy' })
  t.match(evidenceOf(failed('model_not_found'), what), {
    type: 'live_misconfigured',
    reason: 'model_not_found',
  })
  t.match(evidenceOf(failed('error_body'), what), { failure: 'error_body' })
  t.match(evidenceOf(failed('invalid_response'), what), {
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
    const broken = failed('http_5xx')
    t.match(evidenceOf(broken, embedding), { type: 'work_failed', work: 'embedding' })
    t.equal(evidenceOf(broken, none), null)
    t.equal(evidenceOf(failed('busy'), embedding), null)
    const refused = failed('refused', { sent: false })
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
    const broken = failed('http_5xx')
    const busy = failed('busy')
    t.equal(mayFollow(broken, next('last'), 1), true)
    t.equal(mayFollow(broken, next('first'), 2), false)
    t.equal(mayFollow(broken, { kind: 'exhausted' }, 1), false)
    t.equal(mayFollow(busy, next('first'), 1), true)
    t.equal(mayFollow(busy, next('last'), 1), false)
    t.equal(mayFollow(busy, { kind: 'hold', starting: false }, 1), false)
  },
)
