import t, { type Test } from 'tap'
import { chatBody, post, readStream } from '../support/ask.ts'
import { type FakeUpstream, fakeUpstream } from '../support/fake-upstream.ts'
import { startGate, type TestGate } from '../support/start-gate.ts'

// Rows of docs/bad-input.md that are shown here: B64.
// Rows of docs/faults.md that are shown here: F05, F08, F09, F10, F11, F13, F15, F18.

// Goal: an answer that is cut after content is an error to the client, whatever way it is cut;
// cut before content, it is answered by the other upstream.
// Method: every way to cut, two upstreams, real sockets.

const chat = (gate: TestGate, over: Record<string, unknown> = {}) =>
  post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true, ...over }))

const CUTS: Record<string, (up: FakeUpstream, after: number) => void> = {
  reset: (up, after) => up.cutAfter(after, 'reset'),
  fin: (up, after) => up.cutAfter(after, 'fin'),
  'early chunked end': (up, after) => up.cutAfter(after, 'chunked-end'),
  'early end, EOF-framed': (up, after) => up.cutAfter(after, 'eof-framed'),
  'error frame and [DONE]': (up, after) => up.errorFrame(after),
}

async function gateOverTwo(t: Test): Promise<{ a: FakeUpstream; gate: TestGate }> {
  const a = await fakeUpstream(t, { models: ['m'], tokens: 5, gapMs: 10 })
  const b = await fakeUpstream(t, { models: ['m'], tokens: 5, gapMs: 10 })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}` })
  await gate.untilReason('a', 'ok')
  await gate.untilReason('b', 'ok')
  return { a, gate }
}

for (const [name, cut] of Object.entries(CUTS)) {
  t.test(`${name} after content is one error frame and a destroyed connection`, async (t) => {
    const { a, gate } = await gateOverTwo(t)
    cut(a, 2)
    const end = await readStream(await chat(gate))
    t.ok(end.text.length > 0, 'content came')
    t.notOk(end.done, 'no [DONE]')
    t.match(end.error?.code, /^upstream_(truncated|error)$/)
    t.ok(end.broken)
  })

  t.test(`${name} before content is answered by the other upstream`, async (t) => {
    const { a, gate } = await gateOverTwo(t)
    cut(a, 0)
    const answer = await chat(gate)
    t.equal(answer.headers.get('x-gengate-upstream'), 'b')
    const end = await readStream(answer)
    t.ok(end.done)
    t.equal(end.error, null)
  })
}

for (const reason of ['abort', 'error']) {
  t.test(`finish_reason ${reason} with [DONE] is no proper end`, async (t) => {
    const { a, gate } = await gateOverTwo(t)
    a.finishWith(reason)
    const end = await readStream(await chat(gate))
    t.notOk(end.done)
    t.equal(end.error?.code, 'upstream_truncated')
    t.ok(end.broken)
    t.notOk(end.events.some((event) => event.includes(`"finish_reason":"${reason}"`)))
  })

  t.test(`a unary answer with finish_reason ${reason} is answered by the other`, async (t) => {
    const { a, gate } = await gateOverTwo(t)
    a.finishWith(reason)
    const answer = await chat(gate, { stream: false })
    t.equal(answer.status, 200)
    t.equal(answer.headers.get('x-gengate-upstream'), 'b')
  })
}

const BEFORE: Record<string, (up: FakeUpstream) => void | Promise<void>> = {
  'a refused connection': (up) => up.refuse(),
  'a reset before any byte': (up) => up.cutAfter(-1, 'reset'),
  'a 500': (up) => up.status(500, { error: { message: 'boom' } }),
  'an empty 200': (up) => up.empty(),
  'an error object in a 200': (up) => up.errorObject(),
  'a 503': (up) => up.status(503, { error: { message: 'busy' } }),
}
for (const [name, fault] of Object.entries(BEFORE)) {
  for (const stream of [true, false]) {
    t.test(`${name} (${stream ? 'stream' : 'unary'}) is answered by the other`, async (t) => {
      const { a, gate } = await gateOverTwo(t)
      await fault(a)
      const answer = await chat(gate, { stream })
      t.equal(answer.status, 200)
      t.equal(answer.headers.get('x-gengate-upstream'), 'b')
      t.match(await answer.text(), stream ? /\[DONE\]/ : /"finish_reason"/)
    })
  }
}

t.test('an error of the request is passed on and blames nobody', async (t) => {
  const { a, gate } = await gateOverTwo(t)
  a.status(400, { error: { message: 'too long', type: 'BadRequestError', param: null, code: 400 } })
  const answer = await chat(gate)
  t.equal(answer.status, 400)
  t.match(await answer.json(), { error: { message: 'too long' } })
  t.equal(gate.reason('a'), 'ok')
})

t.test('a poison request reaches two upstreams at most and gets the original error', async (t) => {
  const ups = await Promise.all([1, 2, 3].map(() => fakeUpstream(t, { models: ['m'] })))
  const list = ups.map((up, i) => `u${i}=${up.url}`).join(',')
  const gate = await startGate(t, { GENGATE_UPSTREAMS: list })
  for (const [i] of ups.entries()) await gate.untilReason(`u${i}`, 'ok')
  for (const up of ups) up.status(500, { error: { message: 'poison' } })
  const answer = await chat(gate)
  t.equal(answer.status, 500)
  t.match(await answer.json(), { error: { message: 'poison' } })
  const asked = ups.map((up) => up.generations.filter((one) => one.body.includes('"hi"')).length)
  t.strictSame(asked, [1, 1, 0])
})

t.test('the sole upstream that is busy passes its 503 and Retry-After on', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}` })
  await gate.untilReason('a', 'ok')
  a.status(503, { error: { message: 'full' } }, { 'retry-after': '7' })
  const answer = await chat(gate)
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('retry-after'), '7')
  t.match(await answer.json(), { error: { message: 'full' } })
})
