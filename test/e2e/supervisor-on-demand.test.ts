import t from 'tap'
import { chat, owningGate, until, untilGenerated } from '../support/owned.ts'
import { servedBy } from '../support/ask.ts'

// Goal: an engine is started by the first request that needs it, and stopped when nobody does.
// Method: the gate as a process of its own; an engine that takes a while to load.

t.jobs = 3
const IDLE = {
  GENGATE_A_IDLE_STOP_MS: '1500',
  GENGATE_COMMIT_DEADLINE_MS: '200',
  GENGATE_HOLD_MS: '0',
}

t.test('the first request starts the engine and is held; idle, it is stopped', async (t) => {
  const gate = await owningGate(t, 'slow', { env: IDLE })
  t.match(await gate.upstream(), {
    state: 'cold',
    reason: 'model_not_loaded',
    process: { state: 'asleep', pid: null },
  })
  t.equal((await fetch(`${gate.url}/readyz`)).status, 200, 'it can be served')
  t.equal((await fetch(`${gate.url}/v1/models`)).status, 200)
  t.same(gate.steps(), [], 'looking does not start it')
  const [streamed, unary] = await Promise.all([chat(gate.url, { stream: true }), chat(gate.url)])
  t.equal(servedBy(streamed), 'pending')
  const text = await streamed.text()
  t.match(text, /^: keep-alive\n/, 'comments keep the client')
  t.match(text, /"content":"a "[^]*\[DONE\]/)
  t.equal(unary.status, 200)
  t.same(
    gate.steps().filter((step) => step === 'started'),
    ['started'],
    'one start for two requests',
  )
  await until(() => gate.steps().includes('ended idle'))
  t.match(await gate.upstream(), { state: 'cold', process: { state: 'asleep', restarts: 0 } })
  t.equal((await chat(gate.url, { model: 'tiny' })).status, 200)
  await untilGenerated(gate, 2)
  t.notMatch(gate.steps().join(), /died|killed/)
})

t.test('nothing is stopped while a request is in flight, however long it takes', async (t) => {
  const gate = await owningGate(t, '', { env: { ...IDLE, GENGATE_A_IDLE_STOP_MS: '1000' } })
  // Four seconds of tokens.
  const answer = await chat(gate.url, { stream: true, max_tokens: 200 })
  t.match(await answer.text(), /\[DONE\]/)
})

t.test('a start that fails is a clear 503 without the words of the engine', async (t) => {
  const gate = await owningGate(t, 'broken', { env: IDLE })
  const answer = await chat(gate.url)
  const text = await answer.text()
  t.equal(answer.status, 503)
  t.ok(answer.headers.get('retry-after'))
  t.match(text, /no_eligible_upstream/)
  t.match(text, /a: refused .*Its process, which this gate had started, has ended/)
  t.notMatch(text, /sk-not-for-clients/)
  // The operator reads why; the line may come after the answer.
  await until(() => /exit code 3; its last line: out of memory/.test(gate.log()))
  t.notMatch(JSON.stringify(await gate.upstream()), /sk-not-for-clients/)
})
