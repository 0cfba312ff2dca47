import { fail, models, PASS } from './fake-wire.ts'
import { scene } from './scene.ts'
import { spec } from '../support/world.ts'

scene('Prober probes at once and admits after one pass', [spec()], async (t, it) => {
  t.equal(it.reason(), 'not_probed_yet')
  await it.clock.advance(20)
  t.equal(it.reason(), 'ok')
  t.strictSame(it.events, [
    { type: 'probe_ended', upstream: 'a', outcome: 'pass', durationMs: 20, tokens: 1 },
  ])
  t.strictSame(it.models(), ['m'])
})

scene('Prober has one probe in flight per upstream, whatever happens', [spec()], async (t, it) => {
  it.active()
  it.wire.play = () => 'hang'
  for (let s = 0; s < 120; s++) {
    await it.clock.advance(500)
    it.active()
    it.prober.sync()
  }
  t.equal(it.wire.mostInFlight, 1)
  t.ok(it.wire.probes.length >= 2, 'a new one after the limit of the old one')
  t.strictSame([...new Set(it.outcomes())], ['timeout'])
})

scene('Prober: one request makes a wedge suspect, then ejected', [spec()], async (t, it) => {
  await it.clock.advance(20)
  it.active()
  it.wire.play = () => 'hang'
  await it.clock.advance(2_000)
  const asked = it.wire.probes.length
  t.equal(asked, 2, 'the hanging one was sent')
  t.equal(it.reason(), 'ok')
  await it.clock.advance(1_000)
  t.equal(it.reason(), 'probe_missed')
  await it.clock.advance(8_000)
  t.equal(it.reason(), 'wedged')
  t.equal(it.wire.probes.length, asked, 'nothing piles up in its queue')
})

scene('Prober: verdicts change in time though nobody reads them', [spec()], async (t, it) => {
  await it.clock.advance(20)
  it.active()
  it.wire.play = () => 'hang'
  const turns: [string, number][] = []
  it.store.subscribe((now, before) => {
    const [is, was] = [now.entries[0]?.reason, before.entries[0]?.reason]
    if (is !== undefined && is !== was) turns.push([is, it.clock.nowMs()])
  })
  await it.clock.advance(15_000)
  t.strictSame(
    turns.map(([reason]) => reason),
    ['probe_missed', 'wedged'],
  )
  const [, missedAt] = turns[0] ?? ['', 0]
  t.ok(missedAt <= 4_020, `no new traffic after ${missedAt} ms`)
})

scene('Prober sees recovery when the outstanding probe answers', [spec()], async (t, it) => {
  await it.clock.advance(20)
  it.active()
  it.wire.play = () => 'hang'
  await it.clock.advance(12_000)
  t.equal(it.reason(), 'wedged')
  it.wire.plays(PASS)
  it.wire.release({ kind: 'pass', latencyMs: 10_000, tokens: 1 })
  await it.clock.advance(1_000)
  t.equal(it.reason(), 'ok', 'two passes: the outstanding one and its confirmation')
})

scene('Prober: a loop that was reconfigured applies nothing more', [spec()], async (t, it) => {
  it.wire.play = () => 'hang'
  await it.clock.advance(100)
  const [first] = it.wire.probes
  it.wire.plays(PASS)
  it.configure(spec({ url: 'http://127.0.0.1:2' }))
  t.equal(first?.signal.aborted, true, 'the probe of the old epoch is cut')
  await it.clock.advance(100)
  t.equal(it.wire.probes.at(-1)?.target.url, 'http://127.0.0.1:2')
  t.equal(it.reason(), 'ok')
  t.strictSame(it.outcomes(), ['pass'], 'the old one was neither applied nor counted')
})

scene('Prober.sync() leaves loops alone whose epoch did not change', [spec()], async (t, it) => {
  it.wire.play = () => 'hang'
  await it.clock.advance(100)
  it.configure(spec({ intent: 'draining' }), spec({ name: 'b' }))
  await it.clock.advance(0)
  t.equal(it.wire.probes[0]?.signal.aborted, false)
  t.equal(it.wire.probes.length, 2, 'and starts one for the new entry')
  it.configure(spec({ name: 'b' }))
  await it.clock.advance(0)
  t.equal(it.wire.probes[0]?.signal.aborted, true, 'the entry is gone')
})

scene('Prober sends no probe while progress is seen', [spec()], async (t, it) => {
  await it.clock.advance(20)
  for (let s = 0; s < 100; s++) {
    it.active()
    it.progress()
    await it.clock.advance(100)
  }
  t.equal(it.wire.probes.length, 1)
  await it.clock.advance(2_300)
  t.equal(it.wire.probes.length, 2, 'and asks again once it ends')
})

scene('Prober is quick while clients are active, else quiet', [spec()], async (t, it) => {
  await it.clock.advance(59_000)
  t.equal(it.wire.probes.length, 1)
  it.active()
  await it.clock.advance(0)
  t.equal(it.wire.probes.length, 2, 'a client that comes back wakes it')
  await it.clock.advance(10_100)
  t.equal(it.wire.probes.length, 7)
})

scene('Prober asks at once after a live failure', [spec()], async (t, it) => {
  await it.clock.advance(5_000)
  it.fails('http_5xx')
  await it.clock.advance(0)
  t.equal(it.wire.probes.length, 2)
})

scene('Prober sends nothing to a disabled one', [spec({ intent: 'disabled' })], async (t, it) => {
  await it.clock.advance(200_000)
  t.equal(it.wire.probes.length + it.wire.gets.length, 0)
})

scene(
  'Prober: passive and off are listed, and never probed',
  [spec({ probe: 'passive' }), spec({ name: 'b', probe: 'off' })],
  async (t, it) => {
    await it.clock.advance(0)
    t.strictSame(it.models('b'), ['m'])
    it.wire.answer = () => models('m', 'n')
    await it.clock.advance(61_000)
    t.strictSame(it.models(), ['m', 'n'])
    t.equal(it.wire.probes.length, 0)
    t.equal(it.wire.gets.length, 4)
  },
)

scene('Prober: refused is ejected at once, and admitted later', [spec()], async (t, it) => {
  await it.clock.advance(20)
  it.active()
  it.wire.plays(fail('refused'))
  await it.clock.advance(2_100)
  t.equal(it.reason(), 'refused')
  it.wire.plays(PASS)
  await it.clock.advance(3_000)
  t.equal(it.reason(), 'ok')
})

scene('Prober judges by what ends streams there', [spec({ streamEnd: 'done' })], async (t, it) => {
  await it.clock.advance(20)
  t.equal(it.wire.probes.at(-1)?.endRule, 'done')
})
