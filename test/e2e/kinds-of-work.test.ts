import t from 'tap'
import { chatBody, post } from '../support/ask.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { startGate } from '../support/start-gate.ts'

// Goal: only a generation proves a generation, and an embedding proves embeddings.
// Method: real servers whose chat hangs while other routes answer, or the other way round.

const QUICK = { GENGATE_DETECT_WITHIN_MS: '1200', GENGATE_PROBE_INTERVAL_MS: '250' }

t.test('counting tokens does not hide an engine whose every chat hangs', async (t) => {
  const a = await fakeUpstream(t, { models: ['m'] })
  a.handlers.set('/tokenize', (_req, res) => res.end('{"tokens":[1]}'))
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}`, ...QUICK })
  await gate.untilReason('a', 'ok')
  a.freeze()
  const counting = setInterval(() => {
    void post(`${gate.url}/tokenize`, '{"prompt":"x"}').then((answer) => answer.text())
  }, 50)
  t.teardown(() => clearInterval(counting))
  const hung = post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true }))
  await gate.until(() => gate.reason('a') === 'wedged', 6_000)
  t.equal((await hung).status, 504, 'and nobody waits for it any more')
})
