import t from 'tap'
import { fail, models, PASS, Stage } from './fake-wire.ts'
import { scene } from './scene.ts'
import { spec } from '../support/world.ts'

scene('ProbeLoop doubts itself after EMFILE, once per episode', [spec()], async (t, it) => {
  it.wire.plays({ kind: 'inconclusive', detail: 'EMFILE' }, 1)
  await it.clock.advance(400)
  t.equal(it.store.current.doubtAt, 1)
  await it.clock.advance(5_000)
  t.equal(it.store.current.doubtAt, 1, 'a lasting fault must not excuse everybody for ever')
})

scene('ProbeLoop: a name that never resolves ends up unreachable', [spec()], async (t, it) => {
  it.wire.plays({ kind: 'inconclusive', detail: 'ENOTFOUND' }, 1)
  await it.clock.advance(10)
  t.equal(it.reason(), 'not_probed_yet')
  await it.clock.advance(5_000)
  t.equal(it.reason(), 'unreachable')
})

scene('ProbeLoop survives a bug in its own wire', [spec()], async (t, it) => {
  it.wire.play = () => {
    throw new Error('bug')
  }
  await it.clock.advance(20)
  t.strictSame(it.outcomes(), ['inconclusive'])
  it.wire.inFlight = 0
  it.wire.plays(PASS)
  await it.clock.advance(2_000)
  t.equal(it.reason(), 'ok')
})

scene('ProbeLoop: a new prober closes the probe that was left open', [spec()], async (t, it) => {
  it.wire.play = () => 'hang'
  await it.clock.advance(100)
  await it.prober.stop()
  it.wire.plays(PASS)
  it.prober.start()
  await it.clock.advance(2_000)
  t.equal(it.reason(), 'ok')
})

scene('ProbeLoop: after a failure the model list is not trusted', [spec()], async (t, it) => {
  it.wire.answer = () => models('old')
  await it.clock.advance(20)
  it.active()
  it.wire.plays(fail('refused'), 1)
  await it.clock.advance(3_000)
  it.wire.answer = () => models('new')
  it.wire.plays(PASS)
  const before = it.wire.probes.length
  await it.clock.advance(5_000)
  const asked = it.wire.probes.slice(before).map((call) => call.model)
  t.strictSame([...new Set(asked)], [null, 'new'])
})

scene('ProbeLoop gives a probe up when nobody listens any more', [spec()], async (t, it) => {
  await it.clock.advance(1_000)
  it.active()
  it.wire.play = () => 'hang'
  await it.clock.advance(3_000)
  t.equal(it.wire.inFlight, 1, 'a probe waits')
  it.fails('reset')
  await it.clock.advance(10)
  t.equal(it.wire.inFlight, 1, 'a reset says nothing about the connection of the probe')
  it.fails('refused')
  await it.clock.advance(10)
  t.equal(it.wire.inFlight, 0, 'an engine that ends may wait for this connection')
  t.equal(it.reason(), 'refused')
})

t.test('ProbeLoop.stop(): what goes out or comes back later is void', async (t) => {
  const it = new Stage(spec())
  it.wire.sendsAtOnce = false
  it.wire.play = () => 'hang'
  it.wire.answer = () => 'hang'
  it.prober.start()
  await it.clock.advance(10)
  await it.prober.stop()
  it.wire.probes[0]?.onSent()
  await it.clock.advance(60_000)
  t.equal(it.entry()?.facts.sentAt, null)
  t.equal(it.entry()?.facts.endedAt, null)
  t.strictSame(it.events, [])
  t.equal(it.clock.pending, 0)
})
