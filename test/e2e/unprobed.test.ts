import t from 'tap'
import { chatBody, post } from '../support/ask.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { startGate } from '../support/start-gate.ts'

// Rows of docs/faults.md that are shown here: unprobed-restart.

// Goal: an upstream that nobody probes comes back after it was gone.
// Method: a real server that stops listening for a moment.

for (const probe of ['off', 'passive']) {
  t.test(`an engine that was restarted serves again with PROBE=${probe}`, async (t) => {
    const a = await fakeUpstream(t, { models: ['m'] })
    const gate = await startGate(t, {
      GENGATE_UPSTREAMS: `a=${a.url}`,
      GENGATE_A_PROBE: probe,
      GENGATE_HOLD_MS: '0',
    })
    const chat = async (): Promise<number> => {
      const answer = await post(`${gate.url}/v1/chat/completions`, chatBody())
      await answer.text()
      return answer.status
    }
    t.equal(await chat(), 200)
    await a.refuse()
    t.equal(await chat(), 503)
    t.equal(gate.reason('a'), 'refused')
    await a.listen()
    await gate.until(() => gate.reason('a') !== 'refused', 5_000)
    t.equal(await chat(), 200)
  })
}
