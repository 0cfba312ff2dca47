import OpenAI from 'openai'
import t from 'tap'
import { chat, readStream, servedBy } from '../support/ask.ts'
import { type FakeUpstream, fakeUpstream } from '../support/fake-upstream.ts'
import { gateOverTwo } from '../support/gates.ts'
import { startGate } from '../support/start-gate.ts'

// Rows of docs/faults.md that are shown here: storm-of-503, when-to-come-back.

// Goal: faults that come in numbers, and changes while they last, do not add to themselves; what
// has recovered is used again by itself, gently.

// Most of it is waiting.
t.jobs = 4

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const ofClients = (up: FakeUpstream) => up.generations.filter((one) => one.body.includes('"hi"'))

// Fails without: `busy` for 429 (core/exchange/ending.ts), and passing the answer on (`#giveUp`).
t.test('F14 a 429 goes to another, else to the client, and blames nobody', async (t) => {
  const { a, b, gate } = await gateOverTwo(t)
  const limited = { error: { message: 'slow down', type: 'rate_limit_error' } }
  a.status(429, limited, { 'retry-after': '3' })
  t.equal(servedBy(await chat(gate)), 'b')
  t.match(gate.reason('a'), /^(ok|busy|ok_by_traffic)$/)
  b.status(429, limited, { 'retry-after': '3' })
  const answer = await chat(gate)
  t.equal(answer.status, 429)
  t.equal(answer.headers.get('retry-after'), '3')
  t.match(await answer.json(), limited)
  t.match(gate.reason('b'), /^(ok|busy|ok_by_traffic)$/)
})

// Fails without: `misconfigured` for a mapped 404 (core/exchange/ending.ts).
t.test('F17 a model that is gone: the next upstream serves, and it is said loudly', async (t) => {
  const a = await fakeUpstream(t, { models: ['other'], strict: true })
  const b = await fakeUpstream(t, { models: ['m'] })
  const gate = await startGate(t, {
    GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`,
    GENGATE_A_MODEL: 'gone',
    GENGATE_A_PROBE: 'off',
  })
  await gate.untilReason('b', 'ok')
  const answer = await chat(gate)
  t.equal(answer.status, 200)
  t.equal(servedBy(answer), 'b')
  t.equal(gate.reason('a'), 'model_not_found')
  t.ok(gate.lines.some((line) => line.includes('model_not_found') && line.includes('"warn"')))
})

// Fails without: `warmCap` (core/route.ts), or `admittedAt` (core/table.ts).
t.test('F24 one that has come back is loaded gently while another can serve', async (t) => {
  const { a, b, gate } = await gateOverTwo(t, { tokens: 100, gapMs: 20 })
  await a.refuse()
  t.equal(servedBy(await chat(gate, { max_tokens: 1 })), 'b')
  t.equal(gate.reason('a'), 'refused')
  await a.listen()
  await gate.untilReason('a', 'ok')
  const streams: Promise<boolean>[] = []
  // How many a second it may get is a matter of `decide` (test/core/route.test.ts).
  for (let i = 0; i < 30; i++) {
    streams.push(chat(gate, { stream: true }).then(async (one) => (await readStream(one)).done))
    await pause(50)
  }
  t.ok(ofClients(a).length >= 1, 'it gets some')
  t.ok(ofClients(b).length > ofClients(a).length, 'the other gets the rest')
  for (const done of await Promise.all(streams)) t.ok(done)
})

/** A configuration whose every part belongs together. */
const version = (up: FakeUpstream, letter: string) => ({
  GENGATE_UPSTREAMS: `u=${up.url}`,
  GENGATE_U_MODEL: `m${letter}`,
  GENGATE_U_API_KEY: `k${letter}`,
  GENGATE_U_PROBE: 'off',
})

// Fails without: changing pools and table in one go (`#configure` of app.ts, pools 30 ms later).
t.test('F47 a configuration that flips A, B, A: each request sees one version', async (t) => {
  const options = { strict: true, tokens: 2 }
  const a = await fakeUpstream(t, { models: ['ma'], apiKey: 'ka', ...options })
  const b = await fakeUpstream(t, { models: ['mb'], apiKey: 'kb', ...options })
  const gate = await startGate(t, version(a, 'a'))
  const asked: Promise<Response>[] = []
  for (let flip = 0; flip < 20; flip++) {
    const up = flip % 2 === 0 ? b : a
    gate.reload(up === b ? version(b, 'b') : version(a, 'a'))
    for (let i = 0; i < 10; i++) asked.push(chat(gate, { stream: i % 2 === 0 }))
    const before = up.generations.length
    // Most follow each other faster than anything is asked; some stay until something was.
    if (flip % 5 === 4) await gate.until(() => up.generations.length > before)
    else await pause(10)
  }
  for (const answer of await Promise.all(asked)) {
    t.equal(answer.status, 200)
    await answer.text()
  }
  for (const [up, letter] of [
    [a, 'a'],
    [b, 'b'],
  ] as const) {
    const seen = up.generations
    t.ok(seen.length > 1, 'both were asked')
    t.ok(seen.every(({ headers }) => headers.authorization === `Bearer k${letter}`))
    t.ok(seen.every(({ body }) => body.includes(`"m${letter}"`)))
  }
})

// Fails without: the budget (`priceOf` of core/exchange/next.ts, which then asks for nothing).
for (const status of [503, 500]) {
  t.test(`F51 all upstreams answer ${status}: bounded load, and recovery by itself`, async (t) => {
    const { a, b, gate } = await gateOverTwo(t)
    for (const up of [a, b]) up.status(status, { error: { message: 'storm' } })
    const PER_ROUND = 8
    const offered: Promise<Response>[] = []
    // Some 200 a second.
    for (let round = 0; round < 100; round++) {
      for (let i = 0; i < PER_ROUND; i++) offered.push(chat(gate))
      await pause(40)
    }
    for (const answer of await Promise.all(offered)) {
      t.ok(answer.status === status || answer.status === 503, String(answer.status))
      await answer.text()
    }
    const load = ofClients(a).length + ofClients(b).length
    t.comment(`${offered.length} offered, ${load} at the upstreams`)
    t.ok(load <= 1.1 * offered.length, 'as much as is offered')
    for (const up of [a, b]) up.ok()
    await gate.untilReason('a', 'ok', 'ok_by_traffic')
    t.equal((await chat(gate)).status, 200)
  })
}

// Fails without: `x-should-retry: false` once two upstreams have failed (`#giveUp` of exchange.ts).
t.test('a busy upstream in front of a free one is no waste: every request is served', async (t) => {
  const { a, b, gate } = await gateOverTwo(t)
  a.status(503, { error: { message: 'full' } })
  for (let i = 0; i < 150; i++) t.equal((await chat(gate)).status, 200)
  t.equal(ofClients(b).length, 150)
})

t.test('every 503 says when to come back', async (t) => {
  const { a, b, gate } = await gateOverTwo(t)
  for (const up of [a, b]) up.status(503, { error: { message: 'full' } })
  const passed = await chat(gate)
  t.equal(passed.status, 503)
  t.equal(passed.headers.get('retry-after'), '1')
  for (const up of [a, b]) await up.refuse()
  await gate.untilReason('a', 'refused')
  await gate.untilReason('b', 'refused')
  for (const path of ['/readyz', '/health', '/v1/models']) {
    const answer = await fetch(`${gate.url}${path}`)
    t.equal(answer.status, 503, path)
    t.match(answer.headers.get('retry-after'), /^\d+$/, path)
  }
})

t.test('F52 the retries of an SDK do not multiply with ours', async (t) => {
  const { a, b, gate } = await gateOverTwo(t)
  for (const up of [a, b]) up.status(500, { error: { message: 'poison' } })
  const client = new OpenAI({ baseURL: `${gate.url}/v1`, apiKey: 'any' })
  const messages = [{ role: 'user' as const, content: 'hi' }]
  const failure = await client.chat.completions
    .create({ model: 'default', messages })
    .catch((error: unknown) => error)
  t.match(failure, { status: 500 })
  t.strictSame([ofClients(a).length, ofClients(b).length], [1, 1])
})
