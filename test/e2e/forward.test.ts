import t from 'tap'
import { chat, readStream, servedBy } from '../support/ask.ts'
import { gateOverOne } from '../support/gates.ts'

// Goal: a request through the gate is answered by an upstream that generates, byte for byte.
// Method: real sockets, an upstream that speaks as vLLM does.

t.test('the gate forwards a unary and a streamed chat', async (t) => {
  const { a, gate } = await gateOverOne(t, { models: ['m-a'] })
  const unary = await chat(gate)
  t.equal(unary.status, 200)
  t.equal(servedBy(unary), 'a')
  const body = (await unary.json()) as { model: string; usage: { completion_tokens: number } }
  t.equal(body.model, 'default', 'the client reads back the name that it wrote')
  t.ok(body.usage.completion_tokens >= 1)
  const last = a.generations.at(-1)
  t.match(JSON.parse(last?.body ?? '{}'), { model: 'm-a' }, 'the upstream reads the name it knows')
  const stream = await chat(gate, { stream: true })
  t.equal(stream.status, 200)
  const end = await readStream(stream)
  t.ok(end.done)
  t.ok(end.text.length > 0)
  t.equal(end.error, null)
})
