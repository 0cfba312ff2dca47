import t from 'tap'
import {
  BUDGET_MAX,
  CRASH_RESERVE,
  earn,
  evidenceOf,
  fullBudget,
  giveBack,
  mayFollow,
  spend,
  stalled,
  type StatusAction,
  statusAction,
} from '../../../src/core/exchange/ending.ts'
import type { Failed, FailoverBudget } from '../../../src/core/exchange/exchange.ts'
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

// Rows of docs/faults.md that are shown here: storm-of-503.

t.test('spend() rescues a burst, then as much as time and answers earn', async (t) => {
  let budget = fullBudget(0)
  let spent = 0
  for (let next = spend(budget, 0, false); next !== null; next = spend(budget, 0, false)) {
    budget = next
    spent++
  }
  t.equal(spent, BUDGET_MAX)
  t.equal(spend(budget, 999, false), null)
  t.not(spend(budget, 1_000, false), null, 'one a second')
  for (let i = 0; i < 11; i++) budget = earn(budget, 0)
  t.not(spend(budget, 0, false), null, 'one for ten answers')
})

t.test('spend() keeps the load of a storm in which everything fails under 1.1 times', async (t) => {
  for (const [asked, answered] of [
    [400, true],
    [12_000, true],
    [12_000, false],
  ] as const) {
    let budget: FailoverBudget = fullBudget(0)
    let sent = 0
    for (let i = 0; i < asked; i++) {
      sent++
      const next = spend(budget, i * 5, answered)
      if (next !== null) {
        budget = next
        sent++
      }
    }
    t.ok(sent <= asked * 1.1, `${sent} sent for ${asked} asked, 200 a second`)
  }
})

t.test('a busy upstream never uses up what a crash may need, nor what serves', async (t) => {
  let budget: FailoverBudget = fullBudget(0)
  for (let i = 0; i < 200; i++) budget = spend(budget, 0, true) ?? budget
  t.equal(budget.tokens, CRASH_RESERVE)
  t.equal(spend(budget, 0, true), null)
  t.not(spend(budget, 0, false), null)
  budget = fullBudget(0)
  for (let i = 0; i < 10_000; i++) {
    const next = spend(budget, 0, true)
    if (next === null) return void t.fail('another upstream is free')
    budget = giveBack(next, 1, 0)
  }
})

t.test('earn() never exceeds the maximum', async (t) => {
  t.equal(earn(fullBudget(0), 10_000).tokens, BUDGET_MAX)
})

t.test('statusAction says what the table says, for every status', async (t) => {
  const special: Record<number, StatusAction> = {
    408: 'busy',
    429: 'busy',
    501: 'pass',
    503: 'busy',
  }
  const wrong: number[] = []
  for (let status = 200; status < 600; status++) {
    const byClass = status < 300 ? 'judge' : status < 500 ? 'pass' : 'suspect'
    const expected = special[status] ?? byClass
    if (statusAction(status, { mapped: false }) !== expected) wrong.push(status)
    const mapped = status === 404 ? 'misconfigured' : expected
    if (statusAction(status, { mapped: true }) !== mapped) wrong.push(status)
  }
  t.strictSame(wrong, [])
})

t.test('a status that HTTP does not know is a fault of the upstream', async (t) => {
  for (const status of [0, 99, 600, 999]) {
    t.equal(statusAction(status, { mapped: false }), 'suspect', String(status))
  }
})
