import t from 'tap'
import { chatBody, post, readStream, servedBy } from '../support/ask.ts'
import type { TestGate } from '../support/start-gate.ts'
import { gateOverTwo, QUICK } from '../support/gates.ts'

// Rows of docs/faults.md that are shown here: F01, F02, F19.

// Goal: a wedged upstream gets no new traffic within the target, and its requests are answered by
// another one; when it thaws it serves again.
// Method: two upstreams; the preferred one freezes in the ways that engines freeze. How soon it is
// noticed is measured under a virtual clock (test/sim).

// Most of it is waiting.
t.jobs = 5

const chat = (gate: TestGate, over: Record<string, unknown> = {}) =>
  post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true, max_tokens: 5, ...over }))
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

for (const how of ['freeze', 'headersOnly'] as const) {
  for (const stream of [true, false]) {
    t.test(`${how} (stream: ${stream}) is answered by the second`, async (t) => {
      const { a, b, gate } = await gateOverTwo(t, { gapMs: 20 }, QUICK)
      t.equal(servedBy(await chat(gate)), 'a')
      a[how]()
      await pause(300)
      const first = await chat(gate, { stream })
      t.equal(first.status, 200)
      t.equal(servedBy(first), 'b')
      const text = await first.text()
      t.match(text, stream ? /data: \[DONE\]/ : /"choices"/)
      t.match(gate.reason('a'), /probe_missed|silent|wedged/)
      const asked = a.generations.length
      for (let i = 0; i < 5; i++) {
        t.equal(servedBy(await chat(gate)), 'b', 'later ones go there at once')
      }
      t.equal(a.generations.filter((one) => one.body.includes('"hi"')).length, asked > 0 ? 2 : 0)
      t.ok(b.generations.length > 0)
      a.ok()
      await gate.untilReason('a', 'ok', 'ok_by_traffic')
      t.equal(servedBy(await chat(gate)), 'a', 'it is back')
    })
  }
}

t.test('one token, then nothing: streams are told, later requests move on', async (t) => {
  const { a, gate } = await gateOverTwo(t, { gapMs: 20 }, QUICK)
  a.oneTokenThenFreeze()
  const early = await Promise.all([1, 2, 3].map(() => chat(gate)))
  const readEarly = Promise.all(early.map(readStream))
  await gate.until(() => !/^ok|^busy/.test(gate.reason('a') ?? 'ok'))
  for (let i = 0; i < 5; i++) {
    const late = await chat(gate)
    t.equal(servedBy(late), 'b')
    t.ok((await readStream(late)).done)
  }
  for (const end of await readEarly) {
    t.notOk(end.done, 'never a proper end')
    t.equal(end.error?.code, 'upstream_stalled')
    t.ok(end.broken, 'and the connection is destroyed')
  }
})
