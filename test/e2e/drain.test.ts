import t from 'tap'
import { chatBody, post, readStream } from '../support/ask.ts'
import { chat as rawChat, RawClient } from '../support/raw.ts'
import { gateOverOne } from '../support/gates.ts'

// Rows of docs/faults.md that are shown here: F48, body-at-sigterm.

// Goal: a gate that goes down says so first, finishes what it has, and leaves nothing behind.

// Most of it is waiting.
t.jobs = 4

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const chat = (gate: { url: string }) =>
  post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true }))

t.test('close() is not ready first, finishes streams, refuses new ones, then ends', async (t) => {
  const { gate } = await gateOverOne(t, { tokens: 30, gapMs: 30 })
  const running = await Promise.all([1, 2, 3].map(() => chat(gate)))
  const closed = gate.close()
  t.equal((await fetch(`${gate.url}/readyz`)).status, 503)
  t.equal((await fetch(`${gate.url}/livez`)).status, 200)
  const refused = await chat(gate)
  t.equal(refused.status, 503)
  t.match(await refused.json(), { error: { code: 'gate_draining' } })
  t.match(refused.headers.get('retry-after'), /^\d+$/)
  for (const answer of running) t.ok((await readStream(answer)).done, 'whole')
  await closed
  await t.rejects(fetch(`${gate.url}/livez`), 'the port is free')
})

/** A connection that has sent the head of a chat and half of its body. */
async function halfSent(gate: {
  port: number
  app: { store: unknown }
}): Promise<[RawClient, string]> {
  const bytes = rawChat({ body: chatBody({ stream: true }), lines: ['Expect: 100-continue'] })
  const client = new RawClient(gate.port).send(bytes.slice(0, -10))
  // The gate has its head: it invites the body.
  await client.answer()
  return [client, bytes.slice(-10)]
}

t.test('close() waits for a request whose body is still arriving', async (t) => {
  const { gate } = await gateOverOne(t)
  const [client, rest] = await halfSent(gate)
  const closed = gate.close()
  await pause(100)
  t.equal((await fetch(`${gate.url}/readyz`)).status, 503, 'it is not over')
  client.send(rest)
  t.match(await client.answer(), { status: 200, body: /\[DONE\]/ })
  await closed
  t.ok(await client.isClosed())
})

t.test('close() tells a client whose body outlasts GENGATE_DRAIN_MS', async (t) => {
  const { gate } = await gateOverOne(t, {}, { GENGATE_DRAIN_MS: '200' })
  const [client] = await halfSent(gate)
  await gate.close()
  t.match(await client.answer(), { status: 503, body: /gate_draining/ })
  t.equal(gate.lines.filter((line) => line.includes('"bug"')).length, 0)
})

t.test('close() ends what outlasts GENGATE_DRAIN_MS as an error, never as an answer', async (t) => {
  const { gate } = await gateOverOne(t, { tokens: 10_000, gapMs: 20 }, { GENGATE_DRAIN_MS: '200' })
  const end = readStream(await chat(gate))
  await gate.close()
  const { done, error, broken } = await end
  t.notOk(done)
  t.equal(error?.code, 'gate_draining')
  t.ok(broken)
})

t.test('close() with nothing running ends at once, idle connections or not', async (t) => {
  const { gate } = await gateOverOne(t)
  await readStream(await chat(gate))
  await gate.close()
  await t.rejects(fetch(`${gate.url}/livez`))
})
