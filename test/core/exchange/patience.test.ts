import t from 'tap'
import { patienceLost } from '../../../src/core/exchange/patience.ts'
import { World } from '../../support/world.ts'

// Rows of docs/faults.md that are shown here: chat-wedged-embedding-loads.

const lease = (world: World, over = {}) => ({
  upstream: 'a',
  epoch: world.entry('a').epoch,
  item: { sentAt: 0, bytes: 100, streamed: true, contentAt: null, maxTokens: null, ...over },
})
const request = () => ({ model: null, tried: ['a'] })
const wedged = () => {
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
  const world = wedged()
  const ending = patienceLost(
    world.table,
    { lease: lease(world), committed: false, replay: true, request, stillMs: 0 },
    8_000,
  )
  t.match(ending, { kind: 'failed', why: 'ours', code: 'upstream_stalled' })
})

t.test('patienceLost() waits for an embedding at an upstream whose chat is wedged', async (t) => {
  const world = wedged()
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
  const world = wedged()
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
  const world = wedged()
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
