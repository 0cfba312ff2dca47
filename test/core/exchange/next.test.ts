import t from 'tap'
import { BUDGET_MAX, CRASH_RESERVE, fullBudget } from '../../../src/core/exchange/ending.ts'
import { limitOf, startOf, WAITING_MAX } from '../../../src/core/exchange/next.ts'
import { plainModel } from '../../../src/core/model/model-choice.ts'
import { answer, failed, OneRequest, only, text } from '../../support/one-request.ts'
import { spec, tableConfig, World } from '../../support/world.ts'

// Goal: each rule of where a request goes, how long it waits and what it costs, in a few lines.

const both = (): World => new World().pass('a').pass('b')
const down = (): World => {
  const world = new World()
  for (const name of ['a', 'b']) {
    world.tell(name, { type: 'live_failure', at: 0, failure: 'refused' })
  }
  return world
}

t.test('it goes to the first that serves, and nobody is told of a failover', async (t) => {
  const one = new OneRequest(both())
  const effects = one.decide()
  t.equal(text(effects), 'send a')
  t.match(only(effects, 'send'), { model: null, means: null, mapped: false, cold: false })
  t.match(one.state, { tried: ['a'], upstream: 'a', attempts: 1 })
  t.equal(text(one.decide()), '', 'once')
})

t.test('one that is cold gets it when no other serves, and is said to be', async (t) => {
  const world = new World().pass('b')
  world.tell('a', { type: 'probe_ended', at: 0, outcome: { kind: 'cold' } })
  const one = new OneRequest(world)
  t.equal(text(one.decide()), 'send b')
  t.equal(only(one.ends(failed('reset')), 'send').cold, true)
  t.match(one.ends(failed('ours', { code: 'upstream_stalled' })), [
    { type: 'release' },
    { type: 'evidence', upstream: 'a', evidence: { type: 'load_failed' } },
  ])
})

t.test('the name of a model that the gate chose is its own business', async (t) => {
  const specs = [spec({ model: 'm' })]
  const world = new World(tableConfig({ specs })).pass('a')
  for (const [model, mapped] of [
    ['m', false],
    [null, true],
  ] as const) {
    const one = new OneRequest(world, { wants: { model, work: 'generation' } })
    t.match(only(one.decide(), 'send'), { mapped, means: 'm' })
  }
})

t.test('a slow start leaves one that has just come back some time', async (t) => {
  const world = both()
  const refused = { type: 'live_failure', at: 0, failure: 'refused' } as const
  world.tell('a', refused).at(100).pass('a').at(2_200).pass('a').at(4_300).pass('a')
  t.equal(world.reason('a'), 'ok')
  world.pass('b')
  const one = new OneRequest(world)
  one.inFlight = { a: 3 }
  t.equal(text(one.decide()), 'send b', 'it has three already, and b has room')
  const first = new OneRequest(world)
  t.equal(text(first.decide()), 'send a')
})

t.test('a failure moves it on, once, and costs one failover', async (t) => {
  const one = new OneRequest(both())
  one.decide()
  t.equal(
    text(one.ends(failed('http_5xx'))),
    'release, learn live_failure, decide, budget, failover, send b',
  )
  t.equal(one.budget.tokens, BUDGET_MAX - 1)
  t.equal(
    text(one.ends(failed('reset'))),
    'release, learn live_failure, decide, answer upstream_error, over failed',
  )
})

t.test('two have failed on it: no SDK is to try it again', async (t) => {
  const specs = ['a', 'b', 'c'].map((name) => spec({ name }))
  const world = new World(tableConfig({ specs })).pass('a').pass('b').pass('c')
  const one = new OneRequest(world)
  one.decide()
  one.ends(failed('http_5xx'))
  const effects = one.ends(failed('http_5xx', { answer: answer(500) }))
  t.match(only(effects, 'pass_on'), { upstream: 'b', headers: { 'x-should-retry': 'false' } })
  t.equal(one.state.sent, 2)
})

t.test('one that has nowhere to go after one failure may be tried again', async (t) => {
  const one = new OneRequest(new World(tableConfig({ specs: [spec()] })).pass('a'))
  one.decide()
  t.strictSame(only(one.ends(failed('http_5xx')), 'answer').headers, {})
})

t.test('who was never reached costs nothing, and may be asked again', async (t) => {
  const one = new OneRequest(both())
  one.decide()
  const effects = one.ends(failed('refused', { sent: false }))
  t.equal(text(effects), 'release, learn live_failure, decide, failover, send b')
  t.equal(one.budget.tokens, BUDGET_MAX)
  t.strictSame(one.state.tried, ['b'])
  t.equal(one.state.sent, 0)
})

t.test('an upstream that was taken out has not had its turn', async (t) => {
  const world = both()
  const one = new OneRequest(world)
  one.decide()
  const [, b = spec()] = world.table.config.specs
  const specs = [spec({ name: 'a', url: 'http://127.0.0.1:99' }), b]
  world.configure({ ...world.table.config, specs })
  t.match(text(one.ends(failed('http_5xx'))), /send b$/)
  t.strictSame(one.state.tried, ['b'])
})

t.test('a refusal for load moves only to one that is eligible', async (t) => {
  const one = new OneRequest(both())
  one.decide()
  t.match(text(one.ends(failed('busy', { answer: answer(503) }))), /send b$/)
  const alone = new OneRequest(new World().pass('a'))
  alone.decide()
  const effects = alone.ends(failed('busy', { answer: answer(503) }))
  t.match(only(effects, 'pass_on'), { upstream: 'a', headers: {} }, 'its own words, to come back')
  t.match(only(effects, 'over').summary, { ending: 'failed', phase: 'after_commit' })
})

t.test('what may be sent once only stays where it was', async (t) => {
  const one = new OneRequest(both(), { replay: false })
  one.decide()
  t.match(text(one.ends(failed('http_5xx'))), /answer upstream_error, over failed$/)
})

t.test('without budget nothing moves on; answers may not use up what crashes need', async (t) => {
  for (const [left, ending, goes] of [
    [1, failed('reset'), true],
    [0.5, failed('reset'), false],
    [CRASH_RESERVE + 1, failed('http_5xx', { answer: answer(500) }), true],
    [CRASH_RESERVE, failed('http_5xx', { answer: answer(500) }), false],
  ] as const) {
    const one = new OneRequest(both())
    one.budget = { tokens: left, at: 0 }
    one.decide()
    t.equal(text(one.ends(ending)).endsWith('send b'), goes, `${left} left, ${ending.why}`)
  }
})

t.test('a failover that was of use is given back, and an answer earns a tenth', async (t) => {
  const one = new OneRequest(both())
  one.budget = { tokens: 50, at: 0 }
  one.decide()
  one.ends(failed('reset'))
  t.equal(one.budget.tokens, 49)
  one.flows()
  t.equal(one.budget.tokens, 50)
  one.ends({ kind: 'finished' })
  t.equal(one.budget.tokens, 50.1, 'and not twice')
})

t.test('nobody serves: it waits, is told of once, and ends with the reason', async (t) => {
  const one = new OneRequest(down())
  const effects = one.decide()
  t.equal(text(effects), 'held, wait')
  t.equal(only(effects, 'wait').untilMs, 2_000)
  t.equal(text(one.decide()), 'wait', 'something changed, and nothing for it')
  one.world.at(2_000)
  const end = one.tell({ type: 'waited' })
  t.equal(text(end), 'answer no_eligible_upstream, over failed')
  t.match(only(end, 'answer').detail, /a: refused for 2 s/)
})

t.test('it goes on as soon as somebody serves', async (t) => {
  const one = new OneRequest(down())
  one.decide()
  one.world.at(100).pass('b').at(2_200).pass('b').at(4_300).pass('b')
  t.equal(text(one.decide()), 'send b')
})

t.test('a wait has a limit by its kind, counted from the arrival', async (t) => {
  const one = new OneRequest(new World())
  t.equal(only(one.decide(), 'wait').untilMs, 10_000, 'nothing has been judged yet')
  one.world.at(10_000)
  t.equal(text(one.decide()), 'answer upstream_starting, over failed', 'no second wait')
  const capped = new World(tableConfig({ specs: [spec({ maxConcurrency: 1 })] })).pass('a')
  const queued = new OneRequest(capped)
  queued.inFlight = { a: 1 }
  t.equal(only(queued.decide(), 'wait').untilMs, 60_000)
  t.equal(text(queued.tell({ type: 'waited' })), 'answer queue_timeout, over failed')
})

t.test('not more than so many wait at once', async (t) => {
  for (const [waiting, does] of [
    [WAITING_MAX - 1, 'held, wait'],
    [WAITING_MAX, 'held, answer queue_full, over failed'],
  ] as const) {
    const one = new OneRequest(down())
    one.waiting = waiting
    t.equal(text(one.decide()), does)
  }
})

t.test('an engine that sleeps is asked for once, and waited for', async (t) => {
  const world = new World(tableConfig({ specs: [spec()] }))
  world.tell('a', { type: 'process', at: 0, phase: 'asleep' })
  const one = new OneRequest(world)
  const effects = one.decide()
  t.equal(text(effects), 'learn wanted, held, wait')
  t.equal(only(effects, 'wait').untilMs, 300_000)
  t.equal(text(one.decide()), 'wait', 'it is wanted already')
  world.at(1_000).tell('a', { type: 'process', at: 1_000, phase: 'running' }).pass('a')
  t.equal(text(one.decide()), 'send a')
})

t.test('a failover that waits for a start pays once', async (t) => {
  const world = both()
  world.tell('b', { type: 'process', at: 0, phase: 'asleep' })
  const one = new OneRequest(world)
  one.decide()
  t.match(text(one.ends(failed('reset'))), /budget, learn wanted, held, wait$/)
  world.at(1_000).tell('b', { type: 'process', at: 1_000, phase: 'running' }).pass('b')
  t.match(text(one.decide()), /^failover, send b$/)
  t.equal(one.budget.tokens, BUDGET_MAX - 1)
})

t.test('a model that nobody has, and none where none could be meant', async (t) => {
  const world = both()
  const models = ['x', 'y'].map(plainModel)
  for (const name of ['a', 'b']) world.tell(name, { type: 'models', at: 0, models })
  const one = new OneRequest(world, { wants: { model: 'z', work: 'generation' } })
  const effects = one.decide()
  t.match(only(effects, 'answer'), { code: 'model_not_found', param: 'model', detail: /x.*y/ })
})

t.test('a route that nobody has, and one that keeps what another should serve', async (t) => {
  const able = new Set(['sglang'] as const)
  const one = new OneRequest(both(), {
    path: '/classify',
    wants: { model: null, work: null, able },
  })
  t.match(only(one.decide(), 'answer'), {
    code: 'not_found',
    param: null,
    detail: 'No upstream that is configured has /classify; engines that have it: sglang.',
  })
  const kept = new OneRequest(both(), {
    wants: { model: null, work: 'generation', only: 'c', able: new Set(['vllm'] as const) },
  })
  t.match(only(kept.decide(), 'answer'), { code: 'response_model_mismatch', param: 'model' })
})

t.test('clients that are told to come back do not come in step', async (t) => {
  const after = [0, 0.999].map((random) => {
    const one = new OneRequest(down())
    one.random = random
    one.waiting = WAITING_MAX
    return only(one.decide(), 'answer').retryAfterMs
  })
  const [least = 0, most = 0] = after
  t.ok(most - least > 490 && most - least < 500)
})

t.test('the head of a stream goes out at its deadline; then an error is a frame', async (t) => {
  const one = new OneRequest(down())
  one.decide()
  t.equal(text(one.tell({ type: 'commit_due' })), 'commit_pending')
  t.equal(text(one.tell({ type: 'commit_due' })), '', 'once')
  one.world.at(2_000)
  const effects = one.tell({ type: 'waited' })
  t.equal(text(effects), 'cut no_eligible_upstream, over failed')
  t.equal(only(effects, 'over').summary.phase, 'before_commit', 'comments are no answer')
})

t.test('no head of ours where content has come', async (t) => {
  const one = new OneRequest(both())
  one.decide()
  one.tell({ type: 'first_content' })
  t.equal(text(one.tell({ type: 'commit_due' })), '')
})

t.test('whenever the client goes, all is let go of, and nothing happens after', async (t) => {
  const fresh = new OneRequest(both())
  t.equal(text(fresh.tell({ type: 'client_gone' })), 'hang_up, over client_gone')
  const held = new OneRequest(down())
  held.decide()
  t.equal(text(held.tell({ type: 'client_gone' })), 'hang_up, over client_gone')
  const one = new OneRequest(both())
  one.decide()
  const effects = one.tell({ type: 'client_gone' })
  t.equal(text(effects), 'hang_up, abandon aborted, release, over client_gone')
  t.equal(text(one.ends({ kind: 'aborted' })), '')
  t.equal(text(one.decide()), '')
  t.equal(text(one.tell({ type: 'stop', code: 'gate_draining', detail: '' })), '')
})

t.test('the gate can end it: an error before the commit, a cut after', async (t) => {
  const stop = { type: 'stop', code: 'gate_draining', detail: 'x' } as const
  const one = new OneRequest(both())
  one.decide()
  t.equal(text(one.tell(stop)), 'answer gate_draining, abandon aborted, release, over failed')
  const begun = new OneRequest(both())
  begun.decide()
  begun.flows()
  t.equal(text(begun.tell(stop)), 'cut gate_draining, abandon aborted, release, over failed')
})

t.test('a full budget stays full', async (t) => {
  const one = new OneRequest(both())
  one.decide()
  one.ends({ kind: 'finished' })
  t.strictSame(one.budget, fullBudget(0))
})

t.test('limitOf() bounds each kind of wait', async (t) => {
  for (const [why, holdMs, limitMs, code] of [
    [{ kind: 'hold', starting: false }, 500, 500, 'no_eligible_upstream'],
    [{ kind: 'hold', starting: true }, 500, 10_000, 'upstream_starting'],
    [{ kind: 'hold', starting: true }, 20_000, 20_000, 'upstream_starting'],
    [{ kind: 'wait_for_slot' }, 500, 60_000, 'queue_timeout'],
    [{ kind: 'start' }, 500, 300_000, 'upstream_starting'],
  ] as const) {
    t.strictSame(limitOf(why, holdMs), { limitMs, code })
  }
})

t.test('startOf() tells once that an engine is wanted', async (t) => {
  const world = new World()
  t.equal(startOf(world.entry('a'), 5), null, 'it is not ours to start')
  world.tell('a', { type: 'process', at: 0, phase: 'asleep' })
  t.strictSame(startOf(world.entry('a'), 5), [{ type: 'wanted', at: 5 }])
  world.tell('a', { type: 'wanted', at: 5 })
  t.strictSame(startOf(world.entry('a'), 6), [])
})
