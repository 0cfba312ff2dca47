import t from 'tap'
import { Chance } from '../support/sim-chance.ts'
import type { EngineTraits } from '../support/sim-engine.ts'
import type { SimRequest } from '../support/sim-plane.ts'
import { type Done, ORDINARY, SMALL, SimWorld } from '../support/sim-world.ts'
import { spec, tableConfig } from '../support/world.ts'

// Goal: each rule of `core/exchange` shows in the lives of requests, not only in its unit test.
// Method: one scenario a rule, over engines a (preferred) and b. `test/sim/mutants.ts` plants a fault in
// each rule and shows that something here, or in the worlds, turns red.

const QUICK: EngineTraits = { ...ORDINARY, slots: 64, itlMs: 25 }
const SHORT: SimRequest = { ...SMALL, tokens: 8 }
/** An answer of an hour. */
const LONG: SimRequest = { ...SMALL, tokens: 14_400, patienceMs: 2_000_000 }
/** Four tokens a second. */
const SLOW: EngineTraits = { ...QUICK, itlMs: 250 }
/** A 20 s prefill at 800 bytes a second. */
const BIG: SimRequest = { ...SMALL, bytes: 16_000, patienceMs: 120_000 }

function world(seed: number, traits: Record<string, EngineTraits> = {}, over = {}): SimWorld {
  return new SimWorld(new Chance(seed), tableConfig(over), { a: QUICK, b: QUICK, ...traits })
}

const ALONE = { specs: [spec()] }

function askAt(here: SimWorld, atMs: number, request: SimRequest): void {
  here.at(atMs, () => here.clock.io(() => here.ask(request)))
}

/** Short questions on average every `meanMs`. */
function traffic(here: SimWorld, meanMs: number, untilMs: number): void {
  here.traffic(
    () => meanMs,
    untilMs,
    () => SHORT,
  )
}

const of = (here: SimWorld, request: SimRequest): Done[] =>
  here.done.filter((one) => one.request === request)
const endings = (done: readonly Done[]): string[] => [
  ...new Set(done.map(({ ending, code }) => (code === null ? ending : `${ending} ${code}`))),
]

t.test('gone: a stream whose server listens no more is cut once it is silent', async (t) => {
  const here = world(1, { a: SLOW })
  askAt(here, 1_000, LONG)
  here.at(10_000, () => here.become('a', 'gone'))
  traffic(here, 333, 60_000)
  await here.run(120_000)
  await here.close()
  t.strictSame(endings(of(here, LONG)), ['cut upstream_stalled'])
  const [long] = of(here, LONG)
  t.ok((long?.endedAt ?? 0) < 60_000, `cut at ${long?.endedAt}`)
  const later = of(here, SHORT).filter(({ askedAt }) => askedAt >= 10_000)
  t.strictSame(endings(later), ['finished'], 'the others move on')
})

t.test('lost: what a closing server still works on is left in peace', async (t) => {
  const here = world(2, { a: { ...QUICK, prefillBytesPerS: 800 } })
  const stream = { ...LONG, tokens: 1_200 }
  askAt(here, 1_000, stream)
  askAt(here, 9_000, BIG)
  here.at(10_000, () => here.become('a', 'closing'))
  traffic(here, 500, 40_000)
  await here.run(60_000)
  await here.close()
  t.strictSame(endings(of(here, stream)), ['finished'])
  t.strictSame(endings(of(here, BIG)), ['finished'])
  t.equal(of(here, BIG)[0]?.summary.attempts, 1, 'nobody else was asked')
})

t.test('dead: a stream that was lost on the way is cut while its engine goes on', async (t) => {
  const here = world(3, { a: SLOW })
  askAt(here, 1_000, LONG)
  here.at(5_000, () => here.engine('a').loseStreams())
  traffic(here, 3_000, 900_000)
  await here.run(1_000_000)
  await here.close()
  t.strictSame(endings(of(here, LONG)), ['cut upstream_stalled'])
  const lastedMs = (of(here, LONG)[0]?.endedAt ?? 0) - 5_000
  t.ok(lastedMs >= 600_000 && lastedMs < 602_000, `cut after ${lastedMs} ms`)
})

t.test('wedged: a stream that froze is cut, and nothing is left to its client', async (t) => {
  const here = world(4, { a: SLOW })
  askAt(here, 1_000, LONG)
  here.at(10_000, () => here.become('a', 'silent'))
  traffic(here, 333, 60_000)
  await here.run(120_000)
  await here.close()
  t.strictSame(endings(of(here, LONG)), ['cut upstream_stalled'])
  t.ok((of(here, LONG)[0]?.endedAt ?? 0) < 30_000)
})

t.test('budget: a storm of errors is not made worse by asking twice', async (t) => {
  const here = world(5)
  let sent = 0
  here.onForward = () => sent++
  for (const name of ['a', 'b']) here.at(10_000, () => here.become(name, 'live_5xx'))
  traffic(here, 20, 70_000)
  here.at(70_000, () => {
    for (const name of ['a', 'b']) here.become(name, 'none')
  })
  await here.run(100_000)
  await here.close()
  // A full budget has 30 for failures in words, and 60 seconds give one each.
  const more = sent - here.done.length
  t.ok(here.done.length > 3_000 && more > 0 && more <= 95, `${more} of ${sent} were asked twice`)
})

t.test('given back: failovers that are of use never run out', async (t) => {
  // Full for as long as its one answer takes, and eligible all the while.
  const here = world(6, { a: { ...SLOW, slots: 1, queueMax: 0 } })
  askAt(here, 3_000, LONG)
  here.at(5_000, () => traffic(here, 100, 60_000))
  await here.run(70_000)
  await here.close()
  const done = of(here, SHORT)
  const twice = done.filter(({ summary }) => summary.attempts > 1).length
  t.ok(twice > 400, `${twice} failovers`)
  t.strictSame(endings(done), ['finished'])
})

t.test('progress: an engine that gives each stream two tokens does not look alive', async (t) => {
  const here = world(16)
  let lastAt = 0
  here.onForward = (name) => {
    if (name === 'a') lastAt = here.clock.nowMs()
  }
  here.at(10_000, () => here.become('a', 'two_tokens'))
  traffic(here, 333, 60_000)
  await here.run(70_000)
  await here.close()
  t.ok(lastAt > 9_000 && lastAt < 14_450, `last request after ${lastAt - 10_000} ms`)
})

t.test('poison: two engines see a request that fails, and no third', async (t) => {
  const specs = ['a', 'b', 'c', 'd'].map((name, i) =>
    spec({ name, url: `http://127.0.0.1:${i + 1}` }),
  )
  const here = world(7, { c: QUICK, d: QUICK }, { specs })
  for (const { name } of specs) here.at(3_900, () => here.become(name, 'live_5xx'))
  askAt(here, 4_000, SHORT)
  await here.run(20_000)
  await here.close()
  t.match(here.done, [{ ending: 'failed', seen: 2, summary: { attempts: 2 } }])
  t.strictSame(here.referee.violations, [])
})

t.test('slow start: who has just come back is not flooded while another can serve', async (t) => {
  const here = world(8, { a: SLOW, b: SLOW })
  const answer = { ...SMALL, tokens: 40 }
  here.traffic(
    () => 200,
    80_000,
    () => answer,
  )
  here.at(10_000, () => here.become('a', 'refused'))
  here.at(40_000, () => here.become('a', 'none'))
  let backAt: number | null = null
  let most = 0
  here.onForward = (name) => {
    const now = here.clock.nowMs()
    if (name !== 'a' || now < 40_000) return
    backAt ??= now
    if (now - backAt < 1_000) most = Math.max(most, here.engine('a').running)
  }
  await here.run(100_000)
  await here.close()
  t.not(backAt, null)
  t.ok(most <= 2, `${most} at once in its first second`)
})

t.test('hold: a request waits for a gap, and is told no more than that later', async (t) => {
  const here = world(9, {}, ALONE)
  here.holdMs = 5_000
  here.at(10_000, () => here.become('a', 'refused'))
  askAt(here, 14_500, SHORT)
  here.at(15_000, () => here.become('a', 'none'))
  here.at(40_000, () => here.become('a', 'refused'))
  askAt(here, 50_000, SHORT)
  await here.run(80_000)
  await here.close()
  const [first, second] = here.done
  t.equal(first?.ending, 'finished')
  t.match(second, { ending: 'failed', code: 'no_eligible_upstream' })
  t.equal(Math.round((second?.endedAt ?? 0) - (second?.askedAt ?? 0)), 5_000)
})

t.test('hold: who finds every slot taken waits for one, for a minute at most', async (t) => {
  const capped = { specs: [spec({ maxConcurrency: 1 })] }
  const here = world(10, {}, capped)
  const minute = { ...SMALL, tokens: 2_000, patienceMs: 100_000 }
  askAt(here, 5_000, minute)
  askAt(here, 6_000, { ...SHORT, patienceMs: 100_000 })
  await here.run(70_000)
  t.strictSame(endings(here.done), ['finished'], 'the second had its turn')
  askAt(here, 80_000, LONG)
  askAt(here, 81_000, { ...SHORT, patienceMs: 100_000 })
  await here.run(150_000)
  const last = here.done.at(-1)
  t.match(last, { code: 'queue_timeout' })
  t.equal(Math.round((last?.endedAt ?? 0) - (last?.askedAt ?? 0)), 60_000)
  await here.close()
})

t.test('refused: who was not even reached may be asked again', async (t) => {
  const here = world(11, {}, ALONE)
  here.holdMs = 10_000
  here.at(10_000, () => here.become('a', 'refused'))
  askAt(here, 10_001, SHORT)
  here.at(12_000, () => here.become('a', 'none'))
  await here.run(60_000)
  await here.close()
  t.match(here.done, [{ ending: 'finished', summary: { attempts: 2 } }])
})

t.test('busy: its own words go back, no cold model is loaded for it', async (t) => {
  const specs = [
    spec(),
    spec({ name: 'b', url: 'http://127.0.0.1:2', engine: 'ollama', model: 'm' }),
  ]
  const here = world(
    12,
    { a: { ...QUICK, slots: 1, queueMax: 0 }, b: { ...QUICK, loadMs: 15_000 } },
    { specs },
  )
  askAt(here, 5_000, { ...SMALL, tokens: 400 })
  askAt(here, 6_000, SHORT)
  await here.run(60_000)
  await here.close()
  const [busy] = of(here, SHORT)
  t.match(busy, { ending: 'failed', summary: { attempts: 1 } })
  t.ok(busy?.deeds.includes('pass_on'))
})

t.test('replaced: a request that waits moves to the server that has the name now', async (t) => {
  const here = world(13, {}, ALONE)
  here.at(10_000, () => here.become('a', 'silent'))
  askAt(here, 10_100, { ...SHORT, patienceMs: 60_000 })
  here.at(10_500, () => {
    const moved = spec({ url: 'http://127.0.0.1:77' })
    here.addEngine(moved.url, QUICK)
    here.clock.io(() => here.configure([moved]))
  })
  await here.run(60_000)
  await here.close()
  t.match(here.done, [{ ending: 'finished', summary: { attempts: 2 } }])
})

t.test('commit: a stream that waits for long has its head in time', async (t) => {
  const specs = [spec({ engine: 'ollama', model: 'm' })]
  const here = world(14, { a: { ...QUICK, loadMs: 25_000 } }, { specs })
  askAt(here, 5_000, { ...SHORT, patienceMs: 60_000 })
  await here.run(60_000)
  here.become('a', 'refused')
  here.holdMs = 20_000
  askAt(here, 90_000, { ...SHORT, patienceMs: 60_000 })
  await here.run(150_000)
  await here.close()
  t.strictSame(here.done[0]?.deeds, ['send', 'commit_pending', 'end', 'over'])
  t.strictSame(here.done[1]?.deeds, ['commit_pending', 'cut', 'over'], 'no second head')
})

t.test('a client that takes nothing is cut off after five minutes', async (t) => {
  const here = world(15, { a: SLOW })
  const stuck = { ...LONG, stuck: true }
  askAt(here, 5_000, stuck)
  traffic(here, 2_000, 400_000)
  await here.run(400_000)
  await here.close()
  t.strictSame(endings(of(here, stuck)), ['client_stalled'])
  const lastedMs = (of(here, stuck)[0]?.endedAt ?? 0) - 5_000
  t.ok(lastedMs >= 300_000 && lastedMs < 301_000, `${lastedMs} ms`)
})
