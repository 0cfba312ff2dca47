import t from 'tap'
import type { Fetched } from '../../src/probe/wire.ts'
import { capturedJson } from './captures.ts'
import { Bench } from './bench.ts'
import { body, PASS } from './fake-wire.ts'
import { scene } from './scene.ts'
import { spec } from '../support/world.ts'

/** `/slots` of a llama-server with one slot, as it was captured. */
const slots = (name: 'idle' | 'busy' | 'busy_later'): Fetched =>
  body(capturedJson(`llamacpp-b10434/slots_${name}`))
const NO_LIST = body(undefined, 404)
/** A server that answers this to `/slots`, and 404 to everything else. */
const telling = (answer: Fetched) => (path: string) => (path === '/slots' ? answer : NO_LIST)
const llama = () => spec({ engine: 'llamacpp' })
const looks = (paths: readonly string[]): number => paths.filter((path) => path === '/slots').length

t.test('untilRoom(): a slot that is free costs one look', async (t) => {
  const it = new Bench('llamacpp')
  it.wire.answer = telling(slots('idle'))
  t.equal((await it.round(100)).kind, 'pass')
  t.equal(looks(it.paths), 1)
})

t.test('untilRoom(): an engine that does not tell is probed as ever', async (t) => {
  const reset = { kind: 'broken', code: 'ECONNRESET', phase: 'waiting' } as const
  for (const answer of [NO_LIST, reset]) {
    const it = new Bench('llamacpp')
    it.wire.answer = telling(answer)
    t.equal((await it.round(100)).kind, 'pass')
  }
})

t.test('untilRoom(): no probe is put into a queue; it waits for the slot', async (t) => {
  const it = new Bench('llamacpp')
  it.wire.answer = telling(slots('busy'))
  it.clock.after(5_000, () => {
    it.wire.answer = telling(slots('idle'))
  })
  t.equal((await it.round()).kind, 'pass')
  t.equal(it.sent, 1, 'its silence counts as that of a probe')
  t.equal(it.wire.probes.length, 1)
  t.ok(looks(it.paths) < 7, 'llama.cpp must not be asked more than once a second')
})

t.test('untilRoom(): a slot idle for the limit is a probe that timed out', async (t) => {
  const it = new Bench('llamacpp')
  it.wire.answer = telling(slots('busy'))
  t.strictSame(await it.round(), { kind: 'timeout', limitMs: 30_000 })
  t.equal(it.wire.probes.length, 0)
})

t.test('untilRoom(): one probe that was given up is enough for a silent engine', async (t) => {
  const it = new Bench('llamacpp')
  it.wire.answer = () => 'hang'
  it.wire.play = () => 'hang'
  t.equal((await it.round()).kind, 'timeout')
  t.equal(it.wire.probes.length, 1, 'a look that is silent does not keep from probing')
  t.equal((await it.round()).kind, 'timeout')
  t.equal((await it.round()).kind, 'timeout')
  t.equal(it.wire.probes.length, 1, 'it is never abandoned and sent again')
  it.wire.answer = telling(slots('idle'))
  it.wire.plays(PASS)
  t.equal((await it.round()).kind, 'pass', 'once it answers again, it is probed')
})

scene('a full llama.cpp that writes for others is busy', [llama()], async (t, it) => {
  await it.clock.advance(1_000)
  it.active()
  let looked = 0
  it.wire.answer = (path) =>
    path === '/slots' ? slots(looked++ % 2 === 0 ? 'busy' : 'busy_later') : NO_LIST
  await it.clock.advance(6_000)
  t.equal(it.reason(), 'busy')
  t.equal(it.wire.probes.length, 1, 'the first one, before it was full')
})

scene('a full llama.cpp that stands still is wedged', [llama()], async (t, it) => {
  await it.clock.advance(1_000)
  it.active()
  it.wire.answer = telling(slots('busy'))
  await it.clock.advance(3_500)
  t.equal(it.reason(), 'probe_missed', '200 is no sign of life')
  await it.clock.advance(10_000)
  t.equal(it.reason(), 'wedged')
})

/** vLLM's counter of gaps between tokens. */
const gaps = (count: number): Fetched =>
  body(
    `vllm:num_requests_running{engine="0"} 0.0\nvllm:inter_token_latency_seconds_count{engine="0"} ${count}.0\n`,
  )

scene('a vLLM that is full is busy while its counters rise', [spec()], async (t, it) => {
  await it.clock.advance(1_000)
  it.active()
  it.wire.play = () => 'hang'
  let count = 7
  it.wire.answer = (path) => (path === '/metrics' ? gaps(count++) : NO_LIST)
  await it.clock.advance(8_000)
  t.equal(it.reason(), 'busy')
  t.equal(it.wire.inFlight, 1, 'one probe waits all the while')
  it.wire.answer = (path) => (path === '/metrics' ? gaps(count) : NO_LIST)
  await it.clock.advance(20_000)
  it.active()
  t.equal(it.reason(), 'wedged', 'and no longer')
  t.equal(it.wire.mostInFlight, 1)
})

scene('a probe that answers is not looked at', [spec()], async (t, it) => {
  await it.clock.advance(1_000)
  t.notOk(it.wire.gets.some(({ path }) => path === '/metrics'))
})
