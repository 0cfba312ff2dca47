import t, { type Test } from 'tap'
import { chatBody, post, readStream } from '../support/ask.ts'
import { type FakeUpstream, fakeUpstream } from '../support/fake-upstream.ts'
import { startGate, type TestGate } from '../support/start-gate.ts'

// Rows of docs/faults.md that are shown here: F01, F02, F19.

// Goal: a wedged upstream gets no new traffic within the target, and its requests are answered by
// another one; when it thaws it serves again.
// Method: two upstreams; the preferred one freezes in the ways that engines freeze. How soon it is
// noticed is measured under a virtual clock (test/sim).

// Most of it is waiting.
t.jobs = 5
const QUICK = { GENGATE_DETECT_WITHIN_MS: '1500', GENGATE_PROBE_INTERVAL_MS: '500' }

async function twoUpstreams(
  t: Test,
): Promise<{ a: FakeUpstream; b: FakeUpstream; gate: TestGate }> {
  const a = await fakeUpstream(t, { models: ['m'], gapMs: 20 })
  const b = await fakeUpstream(t, { models: ['m'], gapMs: 20 })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`, ...QUICK })
  await gate.untilReason('a', 'ok')
  await gate.untilReason('b', 'ok')
  return { a, b, gate }
}

const chat = (gate: TestGate, over: Record<string, unknown> = {}) =>
  post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true, max_tokens: 5, ...over }))
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

for (const how of ['freeze', 'headersOnly'] as const) {
  for (const stream of [true, false]) {
    t.test(
      `${how}: a ${stream ? 'streamed' : 'unary'} request is answered by the second`,
      async (t) => {
        const { a, b, gate } = await twoUpstreams(t)
        t.equal((await chat(gate)).headers.get('x-gengate-upstream'), 'a')
        a[how]()
        await pause(300)
        const first = await chat(gate, { stream })
        t.equal(first.status, 200)
        t.equal(first.headers.get('x-gengate-upstream'), 'b')
        const text = await first.text()
        t.match(text, stream ? /data: \[DONE\]/ : /"choices"/)
        t.match(gate.reason('a'), /probe_missed|silent|wedged/)
        const asked = a.generations.length
        for (let i = 0; i < 5; i++) {
          t.equal(
            (await chat(gate)).headers.get('x-gengate-upstream'),
            'b',
            'later ones go there at once',
          )
        }
        t.equal(a.generations.filter((one) => one.body.includes('"hi"')).length, asked > 0 ? 2 : 0)
        t.ok(b.generations.length > 0)
        a.ok()
        await gate.untilReason('a', 'ok', 'ok_by_traffic')
        t.equal((await chat(gate)).headers.get('x-gengate-upstream'), 'a', 'it is back')
      },
    )
  }
}

t.test(
  'one token, then nothing: cut streams are told, later requests go to the second',
  async (t) => {
    const { a, gate } = await twoUpstreams(t)
    a.oneTokenThenFreeze()
    const early = await Promise.all([1, 2, 3].map(() => chat(gate)))
    const readEarly = Promise.all(early.map(readStream))
    await gate.until(() => !/^ok|^busy/.test(gate.reason('a') ?? 'ok'))
    for (let i = 0; i < 5; i++) {
      const late = await chat(gate)
      t.equal(late.headers.get('x-gengate-upstream'), 'b')
      t.ok((await readStream(late)).done)
    }
    for (const end of await readEarly) {
      t.notOk(end.done, 'never a proper end')
      t.equal(end.error?.code, 'upstream_stalled')
      t.ok(end.broken, 'and the connection is destroyed')
    }
  },
)
