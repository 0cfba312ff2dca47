import t from 'tap'
import { chatBody, post, readStream } from '../support/ask.ts'
import { fakeUpstream } from '../support/fake-upstream.ts'
import { startGate } from '../support/start-gate.ts'

// Goal: a request through the gate is answered by an upstream that generates, byte for byte.
// Method: real sockets, an upstream that speaks as vLLM does.

t.test('the gate forwards a unary and a streamed chat', async (t) => {
  const a = await fakeUpstream(t, { models: ['m-a'] })
  const gate = await startGate(t, { GENGATE_UPSTREAMS: `a=${a.url}` })
  await gate.untilReason('a', 'ok')
  const unary = await post(`${gate.url}/v1/chat/completions`, chatBody())
  t.equal(unary.status, 200)
  t.equal(unary.headers.get('x-gengate-upstream'), 'a')
  const body = (await unary.json()) as { model: string; usage: { completion_tokens: number } }
  t.equal(body.model, 'default', 'the client reads back the name that it wrote')
  t.ok(body.usage.completion_tokens >= 1)
  const last = a.generations.at(-1)
  t.match(JSON.parse(last?.body ?? '{}'), { model: 'm-a' }, 'the upstream reads the name it knows')
  const stream = await post(`${gate.url}/v1/chat/completions`, chatBody({ stream: true }))
  t.equal(stream.status, 200)
  const end = await readStream(stream)
  t.ok(end.done)
  t.ok(end.text.length > 0)
  t.equal(end.error, null)
})
