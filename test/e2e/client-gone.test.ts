import { connect } from 'node:net'
import t from 'tap'
import { chatBody, post } from '../support/ask.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { chat, get, request } from '../support/raw.ts'
import { startGate } from '../support/start-gate.ts'
import { gateOverOne } from '../support/gates.ts'

// Rows of docs/bad-input.md that are shown here: left-at-keep-alives, half-closed-client.
// Rows of docs/faults.md that are shown here: F35, F36.

// Goal: a client that leaves stops the generation, before and after the head, and costs its
// upstream nothing.
// Method: a generation that would not end by itself; the upstream notes that its connection was cut.

for (const [phase, options] of [
  ['before the head', { ttftMs: 1_000_000 }],
  ['after the first token', { tokens: 1_000_000, gapMs: 20 }],
] as const) {
  for (const stream of [true, false]) {
    t.test(`a client that leaves ${phase} (stream: ${stream}) stops it`, async (t) => {
      const { a, gate } = await gateOverOne(t)
      Object.assign(a.options, options)
      const leaving = new AbortController()
      const url = `${gate.url}/v1/chat/completions`
      const asked = post(url, chatBody({ stream }), { signal: leaving.signal })
      if (stream && phase !== 'before the head') {
        const reader = (await asked).body?.getReader()
        await reader?.read()
      } else await gate.until(() => a.generations.some((one) => one.body.includes('"hi"')))
      const mine = a.generations.find((one) => one.body.includes('"hi"'))
      leaving.abort()
      await asked.catch(() => {})
      await gate.until(() => mine?.ended !== null)
      t.equal(mine?.ended?.how, 'cut')
      await gate.until(() => gate.lines.some((line) => line.includes('client_gone')))
      t.equal(gate.reason('a'), 'ok')
    })
  }
}

t.test('a client that leaves after comments only has left before its answer', async (t) => {
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
})

/** What comes back after a request and a FIN. */
async function halfClosed(port: number, bytes: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => {})
  socket.end(Buffer.from(bytes, 'latin1'))
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  return text.split('\r\n')[0] ?? ''
}

t.test("the gate's own answers reach a client that has closed its half", async (t) => {
  const { a, gate } = await gateOverOne(t)
  for (const [status, bytes] of [
    [200, get('/v1/models')],
    [200, get('/v1/models/m')],
    [200, get('/readyz')],
    [200, get('/metrics')],
    [200, get('/gate/status')],
    [404, get('/nothing')],
    [405, get('/v1/chat/completions')],
    [415, chat({ type: 'Content-Type: text/plain', body: '{}' })],
    [400, chat({ body: '{' })],
    [404, chat({ body: '{"model":"nobody"}' })],
    [405, request('OPTIONS', '/v1/files/x')],
  ] as const) {
    t.match(await halfClosed(gate.port, bytes), `HTTP/1.1 ${status} `, bytes.slice(0, 40))
  }
  a.options.ttftMs = 20_000
  t.equal(await halfClosed(gate.port, chat()), '', 'a generation has nobody to go to')
  await gate.until(() => gate.lines.some((line) => line.includes('client_gone')))
  await gate.until(() => a.generations.at(-1)?.ended?.how === 'cut')
})
