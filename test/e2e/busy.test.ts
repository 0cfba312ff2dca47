import t from 'tap'
import { chatBody, post, readStream, servedBy } from '../support/ask.ts'
import type { TestGate } from '../support/start-gate.ts'
import { gateOverOne, gateOverTwo, QUICK } from '../support/gates.ts'

// Rows of docs/faults.md that are shown here: F03, F20, F21.

// Goal: a busy upstream is never thrown out, and a slow prefill is served.
// Method: one slot and a long streamed answer through the gate; prompts whose prefill takes longer
// than any probe deadline.

// Most of it is waiting.
t.jobs = 3

const chat = (gate: TestGate, over: Record<string, unknown> = {}) =>
  post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true, ...over }))
const EJECTED = /wedged|refused|unreachable|http_5xx|invalid_response|truncated|hold_down/

t.test('a single slot with a long streamed answer is busy and never ejected', async (t) => {
  const { gate } = await gateOverOne(t, { slots: 1, tokens: 150, gapMs: 40 }, QUICK)
  const states = new Set<string>()
  const watch = setInterval(() => states.add(gate.reason('a') ?? ''), 50)
  t.teardown(() => clearInterval(watch))
  const long = chat(gate)
  await gate.untilReason('a', 'ok_by_traffic')
  const waiting = [1, 2].map(() => chat(gate, { max_tokens: 2 }))
  await gate.untilReason('a', 'busy')
  t.equal(gate.app.store.current.entries[0]?.facts.sentAt, null, 'no probe is needed meanwhile')
  t.ok((await readStream(await long)).done)
  for (const answer of await Promise.all(waiting)) {
    t.equal(answer.status, 200, 'nothing was refused')
    t.ok((await readStream(answer)).done)
  }
  t.notOk(
    [...states].some((state) => EJECTED.test(state)),
    [...states].join(' '),
  )
})

t.test('a slow prefill is served by the only upstream', async (t) => {
  const { gate } = await gateOverOne(t, { msPerByte: 1 }, { GENGATE_COMMIT_DEADLINE_MS: '3000' })
  const big = chat(gate, { messages: [{ role: 'user', content: 'x'.repeat(9_000) }] })
  const small = await chat(gate)
  t.ok((await readStream(small)).done)
  const answer = await big
  t.equal(servedBy(answer), 'pending', 'the head went out at the deadline')
  const end = await readStream(answer)
  t.ok(end.done)
  t.ok(end.comments.some((line) => line.includes('keep-alive')))
  t.ok(end.comments.some((line) => line.includes('gengate upstream=a')))
})

t.test('a slow prefill is served by one of two', async (t) => {
  const { a, b, gate } = await gateOverTwo(t, { msPerByte: 1 })
  const big = chat(gate, { messages: [{ role: 'user', content: 'x'.repeat(9_000) }] })
  for (let i = 0; i < 5; i++) {
    t.ok((await readStream(await chat(gate))).done, 'small ones are fast meanwhile')
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  t.ok((await readStream(await big)).done)
  const sent = [...a.generations, ...b.generations].filter((one) => one.body.length > 9_000)
  t.equal(sent.length, 1, 'and it was asked for once')
})
