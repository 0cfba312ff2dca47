import t from 'tap'
import { plainModel } from '../../src/core/model/model-choice.ts'
import { changesBetween, defaultUpstream } from '../../src/core/changes.ts'
import { knownModels } from '../../src/core/model/models.ts'
import { decide, isServable, mayAbandon, servesOf } from '../../src/core/route.ts'
import type { RoutingTable, TableConfig } from '../../src/core/table.ts'
import { spec, tableConfig, World } from '../support/world.ts'
import type { FailReason, FlightItem } from '../../src/core/health/evidence.ts'

// Rows of docs/faults.md that are shown here: F24, list-not-told.

const idle = () => 0
const ask = (model: string | null = null, tried: string[] = []) => ({ model, tried })
const models = (world: World, name: string, ...names: string[]) =>
  world.tell(name, { type: 'models', at: world.now, models: names.map(plainModel) })
const specs = (...over: Partial<ReturnType<typeof spec>>[]): Partial<TableConfig> => ({
  specs: over.map((one, i) =>
    spec({ name: 'abc'[i] ?? 'z', url: `http://127.0.0.1:${i + 9}`, ...one }),
  ),
})
const world = (over: Partial<TableConfig> = {}) => new World(tableConfig(over))
const to = (decision: ReturnType<typeof decide>) =>
  decision.kind === 'forward'
    ? `${decision.entry.spec.name}:${decision.model ?? '='}`
    : decision.kind

t.test('decide() prefers the first eligible upstream', async (t) => {
  t.equal(to(decide(world().pass('a').pass('b').table, ask(), idle)), 'a:=')
  t.equal(to(decide(world().pass('b').table, ask(), idle)), 'b:=')
})

t.test('decide() goes eligible, cold, suspect, hold', async (t) => {
  const w = world(specs({}, {}, {}))
    .pass('a')
    .pass('b')
    .pass('c')
    .at(100)
  w.sent('b').tell('b', { type: 'probe_ended', at: 100, outcome: { kind: 'cold' } })
  w.tell('c', { type: 'live_failure', at: 100, failure: 'reset' })
  t.equal(to(decide(w.table, ask(), idle)), 'a:=')
  t.equal(to(decide(w.table, ask(null, ['a']), idle)), 'b:=')
  t.equal(to(decide(w.table, ask(null, ['a', 'b']), idle)), 'c:=')
  t.equal(to(decide(w.table, ask(null, ['a', 'b', 'c']), idle)), 'exhausted')
})

t.test('decide() never forwards to what is not proven, draining or ejected', async (t) => {
  t.equal(to(decide(world().table, ask(), idle)), 'hold')
  const w = world(specs({ intent: 'draining' }, { intent: 'disabled' }))
    .pass('a')
    .pass('b')
  t.equal(to(decide(w.table, ask(), idle)), 'hold')
  t.notOk(isServable(w.table))
})

t.test('decide() waits for a slot rather than ask a suspect', async (t) => {
  const w = world(specs({ maxConcurrency: 1 }, {}))
    .pass('a')
    .pass('b')
    .at(100)
  w.tell('b', { type: 'live_failure', at: 100, failure: 'reset' })
  t.equal(to(decide(w.table, ask(), () => 1)), 'wait_for_slot')
  t.equal(to(decide(w.table, ask(), idle)), 'a:=')
})

t.test('decide() asks only the one that keeps what is referred to', async (t) => {
  const groups = [{ public: 'x', members: [{ upstream: 'a', model: 'm' }] }]
  const w = world({ models: groups }).pass('a').pass('b')
  const kept = { ...ask(), only: 'b' }
  t.equal(to(decide(w.table, kept, idle)), 'b:=', 'whatever models there are')
  const able = new Set(['openai', 'vllm'] as const)
  t.equal(to(decide(w.table, { ...kept, able }, idle)), 'no_route', 'it does not serve the model')
})

t.test('decide() moves on when the first is at its cap', async (t) => {
  const w = world(specs({ maxConcurrency: 1 }, {}))
    .pass('a')
    .pass('b')
  t.equal(to(decide(w.table, ask(), (name) => (name === 'a' ? 1 : 9))), 'b:=')
})

t.test('decide() counts equals by what is in flight under least_busy', async (t) => {
  const w = world({ routing: 'least_busy' }).pass('a').pass('b')
  t.equal(to(decide(w.table, ask(), (name) => (name === 'a' ? 2 : 1))), 'b:=')
  t.equal(to(decide(w.table, ask(), () => 1)), 'a:=', 'order breaks ties')
})

t.test('decide() gives one that has come back one request more each second', async (t) => {
  const w = refuses(world().pass('a').pass('b'), 'a', 'refused').at(2_000).pass('a').at(4_000)
  w.pass('a').pass('b')
  t.equal(w.reason('a'), 'ok')
  const { now } = w
  /** How many it gets at once before the other has the next. */
  const room = (table: RoutingTable, afterMs: number): number => {
    for (let count = 0; count < 100; count++) {
      const flight = (name: string) => (name === 'a' ? count : 100)
      if (to(decide(table, ask(), flight, now + afterMs)) !== 'a:=') return count
    }
    return Infinity
  }
  const seconds = [0, 999, 1_000, 2_500, 9_999, 10_000]
  t.strictSame(
    seconds.map((ms) => room(w.table, ms)),
    [1, 1, 2, 3, 10, Infinity],
  )
  refuses(w, 'b', 'refused')
  t.equal(room(w.table, 0), Infinity, 'nobody else can')
})

t.test('decide() maps the default group to the name each upstream knows', async (t) => {
  const w = world(specs({ model: 'qwen' }, {})).pass('b')
  models(w, 'b', 'gemma')
  for (const name of [null, '', 'default', 'qwen']) {
    t.equal(to(decide(w.table, ask(name), idle)), 'b:gemma', `asked for ${name}`)
  }
  t.equal(to(decide(w.table, ask('gemma'), idle)), 'b:=', 'bytes stay as they are')
})

t.test('decide() sends a discovered name only where it is listed', async (t) => {
  const w = world().pass('a').pass('b')
  models(w, 'a', 'x', 'y')
  models(w, 'b', 'y', 'z')
  t.equal(to(decide(w.table, ask('z'), idle)), 'b:=')
  t.equal(to(decide(w.table, ask('y'), idle)), 'a:=')
  const unknown = decide(w.table, ask('nope'), idle)
  t.strictSame(unknown, { kind: 'unknown_model', known: ['default', 'x', 'y', 'z'] })
})

t.test('decide() knows an unknown model also while one upstream is down', async (t) => {
  const w = world().pass('a')
  models(w, 'a', 'x')
  w.sent('b').tell('b', {
    type: 'probe_ended',
    at: 0,
    outcome: { kind: 'fail', reason: 'refused', detail: '' },
  })
  t.equal(to(decide(w.table, ask('nope'), idle)), 'unknown_model')
})

const refuses = (w: World, name: string, reason: 'refused' | 'loading'): World =>
  w.sent(name).tell(name, {
    type: 'probe_ended',
    at: 0,
    outcome: { kind: 'fail', reason, detail: '' },
  })

t.test(
  'decide() holds a name while the upstream that may list it has not told its models',
  async (t) => {
    const w = refuses(world(), 'b', 'refused')
    t.strictSame(decide(w.table, ask('x'), idle), { kind: 'hold', starting: true })
    w.sent('a').tell('a', { type: 'probe_ended', at: 0, outcome: { kind: 'cold' } })
    t.strictSame(decide(w.table, ask('x'), idle), { kind: 'hold', starting: true })
    models(w, 'a', 'x')
    t.equal(to(decide(w.table, ask('x'), idle)), 'a:=')
    t.equal(to(decide(w.table, ask('nope'), idle)), 'unknown_model')
  },
)

t.test('decide() knows no unknown model before any engine has told its models', async (t) => {
  const w = refuses(refuses(world(), 'a', 'refused'), 'b', 'refused')
  t.strictSame(decide(w.table, ask('x'), idle), { kind: 'hold', starting: false })
})

t.test('decide() holds a name while an engine that is loading may have it', async (t) => {
  const w = refuses(world().pass('a'), 'b', 'loading')
  models(w, 'a', 'y')
  t.strictSame(decide(w.table, ask('x'), idle), { kind: 'hold', starting: false })
})

t.test(
  'decide() refuses what GENGATE_MODELS does not name before anybody has answered',
  async (t) => {
    const groups = [{ public: 'fast', members: [{ upstream: 'a', model: 'm' }] }]
    t.equal(to(decide(world({ models: groups }).table, ask('x'), idle)), 'unknown_model')
  },
)

t.test('decide() holds for a known model whose upstream is out', async (t) => {
  const w = world().pass('a').pass('b')
  models(w, 'a', 'x')
  models(w, 'b', 'y')
  w.at(10)
    .sent('b')
    .tell('b', {
      type: 'probe_ended',
      at: 10,
      outcome: { kind: 'fail', reason: 'refused', detail: '' },
    })
  t.strictSame(decide(w.table, ask('y'), idle).kind, 'forward', 'a member of default may stand in')
  models(w, 'b', 'y', 'y2')
  t.strictSame(decide(w.table, ask('y2'), idle), { kind: 'hold', starting: false })
})

t.test('decide() serves exactly the public names of GENGATE_MODELS', async (t) => {
  const groups = [
    {
      public: 'fast',
      members: [
        { upstream: 'b', model: 'm1' },
        { upstream: 'a', model: 'm2' },
      ],
    },
  ]
  const w = world({ models: groups }).pass('a').pass('b')
  t.equal(to(decide(w.table, ask('fast'), idle)), 'b:m1')
  t.equal(to(decide(w.table, ask(null), idle)), 'b:m1')
  t.equal(to(decide(w.table, ask('m1'), idle)), 'unknown_model')
  t.strictSame(
    knownModels(w.table, () => true),
    ['fast'],
  )
})

t.test('decide() asks an upstream that lists nothing as the client wrote', async (t) => {
  const w = world(specs({})).pass('a')
  t.equal(to(decide(w.table, ask('whatever'), idle)), 'a:=')
})

t.test(
  'mayAbandon() leaves a suspect for an eligible one when the silence exceeds the size',
  async (t) => {
    const item = { sentAt: 0, bytes: 100, streamed: true, contentAt: null, maxTokens: null }
    const w = world().pass('a').pass('b').sent('a').at(1_500)
    const may = (now: number, tried = ['a']) =>
      mayAbandon(w.table, 'a', { request: ask(null, tried), item, nowMs: now })
    t.equal(may(1_500), false, 'not yet')
    t.equal(may(2_100), true)
    t.equal(may(2_100, ['a', 'b']), false, 'nobody else is left')
    t.equal(
      mayAbandon(w.table, 'a', {
        request: ask(null, ['a']),
        item: { ...item, bytes: 20_000 },
        nowMs: 2_100,
      }),
      false,
    )
    w.progress('a')
    t.equal(may(2_100), false, 'it moves')
  },
)

t.test('mayAbandon() never leaves the only servable upstream', async (t) => {
  const item = { sentAt: 0, bytes: 100, streamed: true, contentAt: null, maxTokens: null }
  const w = world().pass('a').sent('a').at(1_500)
  t.equal(mayAbandon(w.table, 'a', { request: ask(null, ['a']), item, nowMs: 60_000 }), false)
})

t.test('changesBetween() tells each change once, and the new default route', async (t) => {
  const w = world().pass('a').pass('b')
  const before = w.table
  t.equal(defaultUpstream(before), 'a')
  w.at(10)
    .sent('a')
    .tell('a', {
      type: 'probe_ended',
      at: 10,
      outcome: { kind: 'fail', reason: 'refused', detail: '' },
    })
  const events = changesBetween(before, w.table, 10)
  t.strictSame(
    events.map((e) => e.type),
    ['state_changed', 'route_changed'],
  )
  t.match(events[0], { upstream: 'a', from: 'ok', to: 'refused', eligible: false })
  t.match(events[1], { from: 'a', to: 'b' })
  t.strictSame(changesBetween(w.table, w.table, 10), [])
})

t.test('a bare name goes to the Ollama that lists it as :latest', async (t) => {
  const w = world(specs({ engine: 'ollama' }, { engine: 'vllm' }))
    .pass('a')
    .pass('b')
  models(w, 'a', 'gemma:latest', 'qwen3:8b')
  models(w, 'b', 'big')
  t.equal(to(decide(w.table, ask('gemma'), idle)), 'a:gemma:latest', 'as it is listed')
  t.equal(to(decide(w.table, ask('library/Gemma'), idle)), 'a:gemma:latest')
  t.equal(to(decide(w.table, ask('gemma:latest'), idle)), 'a:=')
  t.equal(to(decide(w.table, ask('gemma:2b'), idle)), 'unknown_model')
  t.equal(to(decide(w.table, ask('big:latest'), idle)), 'unknown_model', 'vLLM has no tags')
})

t.test('a configured name is written as the operator wrote it', async (t) => {
  const member = { upstream: 'a', model: 'gemma:latest' }
  const w = world({
    ...specs({ engine: 'ollama' }),
    models: [
      { public: 'gemma', members: [member] },
      { public: 'fast', members: [member] },
    ],
  }).pass('a')
  t.equal(to(decide(w.table, ask('gemma'), idle)), 'a:gemma:latest')
  t.equal(to(decide(w.table, ask('fast'), idle)), 'a:gemma:latest')
})

t.test('decide() holds a name while a cold upstream has yet to tell its models', async (t) => {
  const world = new World(tableConfig({ specs: [spec({ engine: 'ollama' })] }))
  world.sent('a').tell('a', { type: 'probe_ended', at: 0, outcome: { kind: 'cold' } })
  const asks = () => decide(world.table, { model: 'm', tried: [] }, () => 0)
  t.strictSame(asks(), { kind: 'hold', starting: true })
  world.tell('a', { type: 'models', at: 0, models: [plainModel('m')] })
  t.match(asks(), { kind: 'forward', serves: 'on_demand' })
  t.match(
    decide(world.table, { model: 'x', tried: [] }, () => 0),
    { kind: 'unknown_model' },
  )
})

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
