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

const isEnd = (line: string): boolean => line.includes('exchange_ended')

t.test('its line in the log has its fields in the order in which people read them', async (t) => {
  const { gate } = await gateOverOne(t, { models: ['m-a'] })
  await (await chat(gate)).text()
  await gate.until(() => gate.lines.some(isEnd))
  const line = gate.lines.find(isEnd) ?? ''
  const times = 'attempts ttft_ms duration_ms bytes phase'
  const fields = `time level event request_id method path upstream status ending code ${times}`
  t.equal(Object.keys(JSON.parse(line) as object).join(' '), fields)
})
