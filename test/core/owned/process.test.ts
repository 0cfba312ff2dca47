import t from 'tap'
import { hintOf, reasonsText } from '../../../src/core/explain.ts'
import type { FailReason } from '../../../src/core/health/evidence.ts'
import type { ProcessPhase } from '../../../src/core/owned/process.ts'
import { decide, servesOf } from '../../../src/core/route.ts'
import { nextProbeAt } from '../../../src/core/health/schedule.ts'
import { shownReason } from '../../../src/core/table.ts'
import { spec, tableConfig, World } from '../../support/world.ts'

const one = (): World => new World(tableConfig({ specs: [spec({ name: 'a' })] }))
function turn(w: World, phase: ProcessPhase | null): World {
  return w.tell('a', { type: 'process', at: w.now, phase })
}
function fail(w: World, reason: FailReason): World {
  const outcome = { kind: 'fail', reason, detail: '' } as const
  return w.tell('a', { type: 'probe_ended', at: w.now, outcome })
}

t.test('after a restart an engine is eligible only when it has generated', async (t) => {
  const w = one().pass('a')
  t.equal(w.reason('a'), 'ok')
  turn(w.at(1_000), 'exited')
  t.equal(w.reason('a'), 'refused', 'at once, without waiting for a probe')
  turn(w.at(2_000), 'starting')
  t.equal(w.reason('a'), 'loading', 'the pass of two seconds ago was that of the old process')
  fail(w.at(3_000).sent('a'), 'refused')
  t.equal(w.reason('a'), 'loading', 'a refused connection is part of starting')
  fail(w.at(4_000).sent('a'), 'unreachable')
  fail(w.at(5_000).sent('a'), 'loading')
  t.equal(w.reason('a'), 'loading')
  w.progress('a').tell('a', { type: 'finished', at: w.now, streamed: true, tookMs: 5 })
  t.equal(w.reason('a'), 'loading', 'what is still heard of old streams proves nothing')
  w.tell('a', { type: 'live_failure', at: w.now, failure: 'reset' })
  t.equal(w.reason('a'), 'loading')
  w.at(600_000).pass('a')
  t.equal(w.reason('a'), 'ok', 'one generation, however late')
  t.equal(w.entry('a').facts.process?.phase, 'running')
  w.tell('a', { type: 'live_failure', at: w.now, failure: 'refused' })
  t.equal(w.reason('a'), 'refused', 'from then on it is judged as any other')
})

t.test('what is said of an engine that starts is what was heard of it', async (t) => {
  const w = turn(one().at(1_000), 'starting')
  const hint = (): string => hintOf(w.entry('a'), w.now)
  t.match(hint(), /has started its engine/)
  fail(w.at(2_000).sent('a'), 'refused')
  t.equal(w.reason('a'), 'loading')
  t.equal(hint(), 'Its process runs, but nothing listens at its address yet.')
  t.match(reasonsText(w.table, w.now), /nothing listens at/, 'clients are told the same')
  w.at(61_500)
  t.match(hint(), /nothing listens .* GENGATE_A_RUN names another port .* GENGATE_A_URL/)
  fail(w.at(62_000).sent('a'), 'unreachable')
  t.match(hint(), /nothing answers at/)
  fail(w.at(63_000).sent('a'), 'loading')
  t.match(hint(), /says that it is loading its model/)
  const busy = { kind: 'busy', detail: '' } as const
  w.at(64_000).sent('a').tell('a', { type: 'probe_ended', at: w.now, outcome: busy })
  t.match(hint(), /has started its engine/, 'it answered, and said something else')
  t.match(hintOf(turn(w, 'starting').pass('a').entry('a'), w.now), /generated a token/)
})

t.test('a probe that was sent to the process before does not prove the new one', async (t) => {
  const w = one().pass('a').at(10_000).sent('a')
  turn(w.at(11_000), 'exited')
  turn(w.at(12_000), 'starting')
  const outcome = { kind: 'pass', latencyMs: 3_000, tokens: 1 } as const
  w.at(13_000).tell('a', { type: 'probe_ended', at: w.now, outcome })
  t.equal(w.reason('a'), 'loading')
  t.equal(w.pass('a').reason('a'), 'ok')
})

t.test('an engine that answers wrongly while it starts is judged by that', async (t) => {
  const w = turn(one(), 'starting')
  t.equal(fail(w.sent('a'), 'model_not_found').reason('a'), 'model_not_found')
  t.equal(w.pass('a').reason('a'), 'ok')
  const cold = turn(one(), 'starting').tell('a', {
    type: 'probe_ended',
    at: 1,
    outcome: { kind: 'cold' },
  })
  t.equal(cold.reason('a'), 'model_not_loaded', 'Ollama is up, its model is not')
  t.equal(cold.entry('a').facts.process?.phase, 'running')
})

t.test('a sleeping engine is cold, is not probed, and serves on demand', async (t) => {
  const w = turn(one(), 'asleep')
  const next = (): string => decide(w.table, { model: null, tried: [] }, () => 0, w.now).kind
  t.equal(w.reason('a'), 'model_not_loaded')
  t.equal(nextProbeAt(w.table, w.entry('a'), w.now, 0), Infinity)
  t.equal(next(), 'forward')
  fail(w.at(1_000).sent('a'), 'unreachable')
  t.equal(w.reason('a'), 'model_not_loaded', 'a probe that was under way ends in nothing')
  t.equal(
    decide(w.table, { model: 'any', tried: [] }, () => 0).kind,
    'forward',
    'its names are not known yet',
  )
  w.tell('a', { type: 'wanted', at: w.now })
  turn(w.at(2_000), 'waking')
  t.equal(w.reason('a'), 'loading')
  t.equal(servesOf(w.entry('a')), 'on_demand', 'requests wait for it')
  t.equal(next(), 'forward')
  t.ok(nextProbeAt(w.table, w.entry('a'), w.now, 0) <= w.now + 1_000)
  turn(w.at(3_000), 'exited')
  t.equal(servesOf(w.entry('a')), 'no')
  t.equal(w.entry('a').facts.wantedAt, null, 'the next request asks anew')
  t.match(hintOf(w.entry('a'), w.now), /gengate status --verbose/)
})

const wedge = (w: World): World => w.pass('a').at(1_000).sent('a').at(120_000)

t.test('what the gate restarts itself nobody is told to restart', async (t) => {
  const stranger = wedge(one())
  t.equal(stranger.reason('a'), 'wedged')
  t.match(hintOf(stranger.entry('a'), stranger.now), /Restart the engine\./)
  const owned = wedge(turn(one(), 'starting'))
  t.equal(owned.reason('a'), 'wedged')
  t.match(hintOf(owned.entry('a'), owned.now), /This gate, which started it, restarts it\./)
  t.match(reasonsText(owned.table, owned.now), /restarts it/, 'clients are told the same')
  const failing = fail(turn(one(), 'starting').pass('a').at(1_000).sent('a'), 'http_5xx')
  t.match(hintOf(failing.entry('a'), failing.now), /this gate restarts it/)
})

t.test('an engine that starts all by itself holds nobody', async (t) => {
  const w = turn(one(), 'starting')
  t.equal(servesOf(w.entry('a')), 'no')
})

t.test('an engine that is about to be ended drains, which readers see at once', async (t) => {
  const w = one().pass('a')
  const { generation } = w.table
  turn(w, 'draining')
  t.ok(w.table.generation > generation)
  t.equal(shownReason(w.entry('a')), 'draining')
  t.equal(servesOf(w.entry('a')), 'no')
  t.match(hintOf(w.entry('a'), w.now), /about to be ended by this gate/)
  t.equal(nextProbeAt(w.table, w.entry('a'), w.now, 0), Infinity, 'a probe could hold up its end')
  turn(w, null)
  t.equal(shownReason(w.entry('a')), 'ok', 'owned no longer: evidence alone counts')
  t.equal(turn(turn(one(), 'asleep'), null).reason('a'), 'not_probed_yet')
})
