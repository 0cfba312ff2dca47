import t from 'tap'
import type { FailReason, FlightItem } from '../../src/core/health/evidence.ts'
import { plainModel } from '../../src/core/model/model-choice.ts'
import { decide, mayAbandon } from '../../src/core/route.ts'
import { servesOf } from '../../src/core/entry.ts'
import { World } from '../support/world.ts'

// Rows of docs/faults.md that are shown here: embedding-hangs.

// Goal: proof is kept per kind of work: chat proves chat, and an embedding proves embeddings.
// Method: a table under a hand-driven clock.

const done = (world: World, name = 'a') =>
  world.tell(name, { type: 'work_done', at: world.now, work: 'embedding', tookMs: 40 })
const fails = (world: World, reason: FailReason, name = 'a') =>
  world.sent(name).tell(name, {
    type: 'probe_ended',
    at: world.now,
    outcome: { kind: 'fail', reason, detail: '' },
  })
const embeds = (world: World, name = 'a') =>
  world.sent(name).tell(name, {
    type: 'probe_ended',
    at: world.now,
    outcome: { kind: 'embeds', latencyMs: 20 },
  })
const item = (sentAt: number): FlightItem => ({
  sentAt,
  bytes: 200,
  streamed: false,
  contentAt: null,
  maxTokens: null,
})
function wedged(): World {
  const world = new World().pass('a').pass('b').active().at(1_000).sent('a')
  for (let ms = 2_000; ms <= 10_000; ms += 1_000) {
    world.at(ms).pass('b')
    done(world)
  }
  return world
}
const goes = (world: World, work: 'generation' | 'embedding' | 'rerank' | null) => {
  const next = decide(world.table, { model: null, tried: [], work }, () => 0, world.now)
  return next.kind === 'forward' ? `${next.entry.spec.name} ${next.serves}` : next.kind
}

t.test('a node whose chat is wedged serves embeddings while it embeds', async (t) => {
  const world = wedged()
  t.equal(world.reason('a'), 'wedged', 'embeddings veto nothing')
  t.equal(goes(world, 'generation'), 'b first')
  t.equal(goes(world, 'embedding'), 'a first')
  t.equal(goes(world, 'rerank'), 'b first')
  t.equal(servesOf(world.entry('a'), 'rerank'), 'no')
  t.equal(servesOf(world.entry('a'), null), 'last')
  world.at(17_000).pass('b')
  t.equal(servesOf(world.entry('a'), 'embedding'), 'last', 'and is tried when its proof is old')
})

t.test('a node that lists an embedding model is the last resort for embeddings', async (t) => {
  for (const reason of ['http_5xx', 'model_not_found', 'bad_request', 'truncated'] as const) {
    const world = fails(new World().pass('a'), reason)
    t.equal(servesOf(world.entry('a'), 'embedding'), 'no', reason)
    const models = [{ ...plainModel('e'), work: 'embedding' as const }, plainModel('m')]
    world.tell('a', { type: 'models', at: 0, models })
    t.equal(servesOf(world.entry('a'), 'embedding'), 'last', reason)
    t.equal(servesOf(world.entry('a')), 'no', reason)
  }
})

t.test('where nobody can be reached nothing is served, whatever was proven', async (t) => {
  for (const reason of ['refused', 'unreachable', 'unauthorized'] as const) {
    const world = fails(new World().pass('a'), reason)
    t.equal(servesOf(done(world).entry('a'), 'embedding'), 'no', reason)
  }
})

t.test('an engine that only embeds is not eligible, says so, and gets embeddings', async (t) => {
  const world = embeds(new World().pass('b'))
  world.tell('a', { type: 'models', at: 0, models: [plainModel('m')] })
  t.equal(world.reason('a'), 'embeddings_only')
  t.equal(goes(world, 'generation'), 'b first')
  t.equal(goes(world, 'embedding'), 'a first')
  t.equal(fails(world, 'refused', 'b').at(1_000).reason('a'), 'embeddings_only')
  t.equal(goes(world, 'generation'), 'a last', 'its own words are better than none')
  t.equal(world.pass('a').reason('a'), 'ok', 'until it generates')
})

t.test('an engine that only embeds can be wedged, too', async (t) => {
  const world = embeds(new World().pass('b')).active().at(1_000).sent('a')
  for (let ms = 2_000; ms <= 8_000; ms += 1_000) world.at(ms).pass('b')
  t.equal(world.reason('a'), 'probe_missed')
  t.equal(world.at(9_100).reason('a'), 'wedged')
  const busy = embeds(new World().pass('b')).active().at(1_000).sent('a')
  for (let ms = 2_000; ms <= 20_000; ms += 500) done(busy.at(ms)).pass('b')
  t.equal(busy.reason('a'), 'embeddings_only', 'its own traffic is its proof')
})

t.test('an embedding that hangs says nothing of chat, and moves on', async (t) => {
  const world = new World().pass('a').pass('b').active()
  const waits = item(0)
  for (let ms = 0; ms <= 9_000; ms += 500) {
    const flight = {
      inFlight: 1,
      waiting: 0,
      newest: null,
      items: [],
      others: { embedding: waits },
    }
    world.at(ms).pass('a').pass('b').tell('a', { type: 'flight', at: ms, flight })
  }
  t.equal(world.reason('a'), 'ok')
  t.equal(goes(world, 'generation'), 'a first')
  t.equal(goes(world, 'embedding'), 'b first')
  const request = { model: null, tried: ['a'], work: 'embedding' as const }
  t.equal(mayAbandon(world.table, 'a', { request, item: waits, nowMs: 9_000 }), true)
  const chat = { model: null, tried: ['a'] }
  t.equal(mayAbandon(world.table, 'a', { request: chat, item: waits, nowMs: 9_000 }), false)
})

t.test('an embedding that failed asks others first for a moment', async (t) => {
  const world = new World().pass('a').pass('b')
  world.tell('a', { type: 'work_failed', at: 0, work: 'embedding' })
  t.equal(world.reason('a'), 'ok')
  t.equal(goes(world, 'embedding'), 'b first')
  t.equal(goes(world.at(5_000), 'embedding'), 'a first')
})
