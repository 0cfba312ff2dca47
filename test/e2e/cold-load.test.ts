import t from 'tap'
import { chatBody, post, servedBy } from '../support/ask.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { startGate, leapingClock } from '../support/start-gate.ts'

// Rows of docs/faults.md that are shown here: load-never-ends.

// Goal: a model that freezes while it is loaded keeps no request for ever.
// Method: a fake Ollama whose load never ends; another upstream that comes later; minutes that pass
// at once.

t.test('a cold Ollama that freezes while it loads loses its request to another', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'], loaded: [], loadMs: 3_600_000 })
  const b = await fakeUpstream(t, { models: ['m'] })
  await b.refuse()
  const clock = leapingClock()
  const env = {
    GENGATE_UPSTREAMS: `a=${a.url},b=${b.url}`,
    GENGATE_A_ENGINE: 'ollama',
    GENGATE_PROBE_INTERVAL_MS: '500',
  }
  const gate = await startGate(t, env, clock)
  await gate.untilReason('a', 'model_not_loaded')
  await gate.untilReason('b', 'refused')
  await gate.until(() => gate.app.store.current.entries[0]?.facts.models != null)
  const chat = post(`${gate.url}/v1/chat/completions`, chatBody({ model: 'm' }))
  await gate.until(() => a.coldLoads === 1)
  await b.listen()
  await gate.untilReason('b', 'ok')
  t.equal(b.generations.filter(({ body }) => body.includes('"hi"')).length, 0, 'it may yet load')
  clock.leap(130_000)
  const answer = await chat
  t.equal(answer.status, 200)
  t.equal(servedBy(answer), 'b')
  await answer.text()
})
