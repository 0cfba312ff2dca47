import t from 'tap'
import { chatBody, post } from '../support/ask.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { startGate } from '../support/start-gate.ts'

// Goal: a client that leaves stops the generation, before and after the head, and costs its
// upstream nothing.
// Method: the upstream notes when its connection was cut, relative to when the client left.

for (const [phase, options] of [
  ['before the head', { ttftMs: 20_000 }],
  ['after the first token', { tokens: 1_000, gapMs: 20 }],
] as const) {
  for (const stream of [true, false]) {
    t.test(
      `a client that leaves ${phase} (${stream ? 'stream' : 'unary'}) stops the upstream`,
      async (t) => {
        const a = await fakeUpstream(t, { models: ['m'] })
        const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}` })
        await gate.untilReason('a', 'ok')
        Object.assign(a.options, options)
        const leaving = new AbortController()
        const url = `${gate.url}/v1/chat/completions`
        const asked = post(url, chatBody({ stream }), { signal: leaving.signal })
        if (stream && phase !== 'before the head') {
          const reader = (await asked).body?.getReader()
          await reader?.read()
        } else await gate.until(() => a.generations.some((one) => one.body.includes('"hi"')))
        const mine = a.generations.find((one) => one.body.includes('"hi"'))
        const leftAt = performance.now()
        leaving.abort()
        await asked.catch(() => {})
        await gate.until(() => mine?.ended !== null)
        t.equal(mine?.ended?.how, 'cut')
        t.ok(performance.now() - leftAt < 1_000, 'at once, not at the end of the generation')
        await gate.until(() => gate.lines.some((line) => line.includes('client_gone')))
        t.equal(gate.reason('a'), 'ok')
      },
    )
  }
}

t.test(
  'a client that leaves after keep-alive comments only has left before its answer',
  async (t) => {
    const a = await fakeUpstream(t, { models: ['m'] })
    const env = { GENGATE_UPSTREAMS: `a=${a.url}`, GENGATE_COMMIT_DEADLINE_MS: '100' }
    const gate = await startGate(t, env)
    await gate.untilReason('a', 'ok')
    a.options.ttftMs = 20_000
    const leaving = new AbortController()
    const answer = await post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true }), {
      signal: leaving.signal,
    })
    await answer.body?.getReader().read()
    leaving.abort()
    await gate.until(() => gate.lines.some((line) => line.includes('client_gone')))
    t.match(
      gate.lines.find((line) => line.includes('client_gone')),
      '"phase":"before_commit"',
    )
  },
)
