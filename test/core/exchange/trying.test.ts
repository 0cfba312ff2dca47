import t from 'tap'
import {
  isEstablished,
  isReportDue,
  patienceLost,
  STALLED_MS,
} from '../../../src/core/exchange/trying.ts'
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

// Rows of docs/faults.md that are shown here: chat-wedged-embedding-loads.

const lease = (world: World, over = {}) => ({
  upstream: 'a',
  epoch: world.entry('a').epoch,
  item: { sentAt: 0, bytes: 100, streamed: true, contentAt: null, maxTokens: null, ...over },
})
const request = () => ({ model: null, tried: ['a'] })
const provenWedged = () => {
  const world = new World().pass('a').sent('a').at(8_000)
  if (world.reason('a') !== 'wedged') throw new Error(world.reason('a'))
  return world
}

t.test('patienceLost() keeps waiting for an upstream that serves', async (t) => {
  const world = new World().pass('a').pass('b')
  t.equal(
    patienceLost(
      world.table,
      { lease: lease(world), committed: false, replay: true, request, stillMs: 0 },
      99_999,
    ),
    null,
  )
})

t.test('patienceLost() gives up an attempt without content at a proven wedge', async (t) => {
  const world = provenWedged()
  const ending = patienceLost(
    world.table,
    { lease: lease(world), committed: false, replay: true, request, stillMs: 0 },
    8_000,
  )
  t.match(ending, { kind: 'failed', why: 'ours', code: 'upstream_stalled' })
})

t.test('patienceLost() waits for an embedding at an upstream whose chat is wedged', async (t) => {
  const world = provenWedged()
  const embeds = (sentAt: number, cold: boolean) => ({
    lease: lease(world, { sentAt, cold }),
    committed: false,
    replay: true,
    request: () => ({ ...request(), work: 'embedding' as const }),
    stillMs: 0,
  })
  t.equal(patienceLost(world.table, embeds(7_800, false), 8_000), null)
  t.equal(patienceLost(world.table, embeds(0, true), 12_000), null, 'its model is loaded first')
  t.match(patienceLost(world.table, embeds(0, false), 60_000), { code: 'upstream_stalled' })
})

t.test('patienceLost() cuts only the silent streams of a proven wedge', async (t) => {
  const world = provenWedged()
  const at = (contentAt: number) =>
    patienceLost(
      world.table,
      { lease: lease(world, { contentAt }), committed: true, replay: true, request, stillMs: 0 },
      8_000,
    )
  t.match(at(100), { kind: 'cut', code: 'upstream_stalled' })
  t.equal(at(7_900), null, 'this one has just had a token')
  const unread = {
    lease: lease(world, { contentAt: 100 }),
    committed: true,
    replay: true,
    request,
    stillMs: null,
  }
  t.equal(patienceLost(world.table, unread, 8_000), null, 'this one we do not read')
})

t.test(
  'patienceLost() leaves an upstream that was taken out once it has had its time',
  async (t) => {
    const world = new World().pass('a').pass('b')
    const old = { ...lease(world), epoch: -1 }
    const waiting = { lease: old, committed: false, replay: true, request, stillMs: 0 }
    t.equal(patienceLost(world.table, waiting, 4_000), null, 'it may be about to answer')
    t.match(patienceLost(world.table, waiting, 4_001), { code: 'no_eligible_upstream' })
    const long = { ...waiting, lease: { ...lease(world, { bytes: 4_000 }), epoch: -1 } }
    t.equal(patienceLost(world.table, long, 9_000), null, 'a long prompt explains it')
    t.not(patienceLost(world.table, long, 11_000), null)
    t.equal(patienceLost(world.table, { ...waiting, replay: false }, 99_999), null)
  },
)

t.test('patienceLost() never judges by a verdict about another server', async (t) => {
  const world = provenWedged()
  const old = { ...lease(world), epoch: -1 }
  t.equal(
    patienceLost(
      world.table,
      { lease: old, committed: true, replay: true, request, stillMs: 0 },
      99_999,
    ),
    null,
  )
})

t.test(
  'patienceLost() cuts a stream that is dead while its upstream goes on generating',
  async (t) => {
    const world = new World().pass('a').at(700_000).pass('a')
    const at = (stillMs: number | null, committed = true, over = lease(world, { contentAt: 1 })) =>
      patienceLost(world.table, { lease: over, committed, replay: true, request, stillMs }, 700_000)
    t.match(at(600_000), { kind: 'cut', code: 'upstream_stalled' })
    t.equal(at(599_999), null, 'the proof is not much younger')
    t.equal(at(null), null, 'the client takes no more, or nobody judges')
    t.equal(at(700_000, false, lease(world)), null, 'a prefill may take its time')
    const old = { ...lease(world, { contentAt: 1 }), epoch: -1 }
    t.equal(at(700_000, true, old), null, 'proof of another server')
    const alone = new World().pass('a').at(700_000)
    const only = {
      lease: lease(alone, { contentAt: 1 }),
      committed: true,
      replay: true,
      request,
      stillMs: 700_000,
    }
    t.equal(patienceLost(alone.table, only, 700_000), null, 'nothing else has moved either')
  },
)

t.test('patienceLost() ends what is silent where nobody listens any more', async (t) => {
  const world = new World().pass('a').at(1_000)
  world.tell('a', { type: 'live_failure', at: 1_000, failure: 'refused' }).at(20_000)
  if (world.reason('a') !== 'refused') throw new Error(world.reason('a'))
  const lost = (over: object, committed: boolean, stillMs: number | null = 0) =>
    patienceLost(
      world.table,
      { lease: lease(world, over), committed, replay: true, request, stillMs },
      20_000,
    )
  t.match(lost({ contentAt: 1_000 }, true), { kind: 'cut', code: 'upstream_stalled' })
  t.equal(lost({ contentAt: 1_000 }, true, null), null, 'the client takes no more')
  t.equal(lost({ contentAt: 17_000 }, true), null, 'a stream may outlive its listener')
  t.match(lost({ sentAt: 1_000 }, false), { kind: 'failed', code: 'upstream_stalled' })
  t.equal(lost({ sentAt: 19_000 }, false), null, 'what has just been asked may yet be answered')
  t.equal(lost({ sentAt: 1_000, bytes: 40_000 }, false), null, 'a long prompt is given its time')
})

t.test('isEstablished() wants a stream that delivers, by time or by number', async (t) => {
  t.equal(isEstablished(499, 3), false)
  t.equal(isEstablished(500, 1), true)
  t.equal(isEstablished(0, 4), true)
})

t.test('isReportDue() leaves the table in peace', async (t) => {
  t.equal(isReportDue(99), false)
  t.equal(isReportDue(100), true)
})
