import t from 'tap'
import { STALLED_MS } from '../../../src/core/exchange/trying.ts'
import { answer, failed, OneRequest, only, text } from '../../support/one-request.ts'
import { World } from '../../support/world.ts'

// Goal: what an attempt that runs may come to: content, a dead connection, silence, an end.

const begun = (over = {}): OneRequest => {
  const one = new OneRequest(new World().pass('a').pass('b'), over)
  one.decide()
  return one
}

const wedged = (): World => new World().pass('a').pass('b').sent('a')

t.test('the first content is told once it comes, with its time', async (t) => {
  const one = begun()
  one.world.at(700)
  const effects = one.tell({ type: 'first_content' })
  t.match(only(effects, 'emit').event, { type: 'first_content', upstream: 'a', ttftMs: 700 })
  one.tell({ type: 'committed' })
  one.world.at(900)
  t.match(only(one.ends({ kind: 'finished' }), 'over').summary, {
    upstream: 'a',
    ending: 'finished',
    code: null,
    attempts: 1,
    ttftMs: 700,
    durationMs: 900,
    phase: 'after_commit',
  })
})

t.test('a dead connection is replaced, unless two upstreams may have seen it', async (t) => {
  const one = begun()
  t.equal(text(one.tell({ type: 'died', seen: false })), 'replay, replayed')
  t.match(one.state, { sent: 0, attempts: 2 }, 'nobody has seen it')
  t.equal(text(one.tell({ type: 'died', seen: true })), 'replay, replayed')
  t.match(one.state, { sent: 1, attempts: 3 })
  t.equal(text(one.tell({ type: 'died', seen: true })), '', 'the second that sees it is the last')
  t.match(text(one.ends(failed('reset'))), /answer upstream_error, over failed$/)
})

t.test('each end of an attempt is one end of the request, or none', async (t) => {
  for (const [ending, does] of [
    [{ kind: 'finished' }, 'release, learn finished, budget, end, over finished'],
    [{ kind: 'passed', status: 400, answer: null }, 'release, end, over finished'],
    [{ kind: 'passed', status: 400, answer: answer(400) }, 'release, pass_on, over finished'],
    [
      { kind: 'cut', code: 'upstream_truncated', detail: '' },
      'release, learn live_failure, cut upstream_truncated, over cut',
    ],
    [{ kind: 'aborted' }, 'release, answer internal_error, over failed'],
  ] as const) {
    t.equal(text(begun().ends(ending)), does, ending.kind)
  }
})

t.test('what has begun to reach the client never comes from another', async (t) => {
  const one = begun()
  one.flows()
  t.equal(
    text(one.ends(failed('reset'))),
    'release, learn live_failure, cut upstream_error, over failed',
  )
})

t.test('a client that read slowly does not teach how long an answer takes', async (t) => {
  const one = begun()
  one.world.at(5_000)
  t.match(only(one.ends({ kind: 'finished' }, 3_000), 'evidence').evidence, { tookMs: 2_000 })
})

t.test('an answer proves its own kind of work, and some prove none', async (t) => {
  const embeds = begun({ wants: { model: null, work: 'embedding' } })
  t.match(only(embeds.ends({ kind: 'finished' }), 'evidence').evidence, { type: 'work_done' })
  const counts = begun({ wants: { model: null, work: null } })
  t.equal(text(counts.ends({ kind: 'finished' })), 'release, budget, end, over finished')
})

t.test('a client that takes nothing for minutes is cut off; a busy upstream is not', async (t) => {
  const one = begun()
  one.flows()
  t.equal(text(one.look({ stillMs: STALLED_MS - 1, blocked: true })), '')
  t.equal(text(one.look({ stillMs: STALLED_MS, blocked: false })), '')
  t.equal(
    text(one.look({ stillMs: STALLED_MS, blocked: true })),
    'hang_up, abandon aborted, release, over client_stalled',
  )
})

t.test('one that waits at a proven wedge is moved, one that flows there is cut', async (t) => {
  const waits = new OneRequest(wedged())
  waits.decide()
  waits.world.at(8_000)
  t.equal(waits.world.reason('a'), 'wedged')
  waits.world.pass('b')
  const effects = waits.look()
  t.equal(text(effects), 'abandon failed')
  t.match(text(waits.ends(only(effects, 'abandon').ending)), /^release, decide, .*send b$/)
  const flows = new OneRequest(wedged())
  flows.decide()
  flows.flows()
  flows.world.at(8_000)
  const cut = flows.look()
  t.match(only(cut, 'abandon').ending, { kind: 'cut', code: 'upstream_stalled' })
  const unread = flows.look({ stillMs: 8_000, blocked: true })
  t.equal(text(unread), '', 'while the client takes nothing, nobody reads')
})

t.test('what nobody judges is not called silent', async (t) => {
  const one = begun({ judged: false })
  one.flows()
  one.world.at(700_000).pass('a')
  t.equal(text(one.look({ stillMs: 700_000, blocked: false })), '')
})
