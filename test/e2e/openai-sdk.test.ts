import OpenAI, { APIError, InternalServerError, NotFoundError } from 'openai'
import t, { type Test } from 'tap'
import type { FakeUpstream } from '../support/fake-upstream.ts'
import type { TestGate } from '../support/start-gate.ts'
import { gateOverOne } from '../support/gates.ts'

// Goal: the official client works against the gate as it does against OpenAI, also when things
// fail. Method: the real `openai` package, with its own retries and its own reading of streams.

const messages = [{ role: 'user' as const, content: 'hi' }]

async function setup(
  t: Test,
  options = {},
): Promise<{ a: FakeUpstream; gate: TestGate; client: OpenAI }> {
  const { a, gate } = await gateOverOne(
    t,
    { tokens: 5, gapMs: 10, ...options },
    { GENGATE_HOLD_MS: '50' },
  )
  return { a, gate, client: new OpenAI({ baseURL: `${gate.url}/v1`, apiKey: 'any' }) }
}

t.test('chat, stream and usage', async (t) => {
  const { client } = await setup(t)
  const unary = await client.chat.completions.create({ model: 'default', messages })
  t.ok((unary.choices[0]?.message.content ?? '').length > 0)
  t.ok((unary.usage?.completion_tokens ?? 0) > 0)
  const stream = await client.chat.completions.create({
    model: 'default',
    messages,
    stream: true,
    stream_options: { include_usage: true },
  })
  let text = ''
  let usage = 0
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    usage = chunk.usage?.completion_tokens ?? usage
  }
  t.ok(text.length > 0)
  t.ok(usage > 0)
})

t.test('models are listed and one is found by a name with a slash', async (t) => {
  const { client } = await setup(t, { models: ['org/m'] })
  const ids: string[] = []
  for await (const model of client.models.list()) ids.push(model.id)
  t.strictSame(ids, ['default', 'org/m'])
  t.equal((await client.models.retrieve('org/m')).id, 'org/m')
})

t.test('an embeddings error keeps its status, code and request id', async (t) => {
  const { client } = await setup(t, { missing: ['embeddings'] })
  const failure = await client.embeddings
    .create({ model: 'default', input: 'x' })
    .catch((e: unknown) => e)
  t.ok(failure instanceof APIError)
  const unknown = await client.embeddings
    .create({ model: 'nope', input: 'x' })
    .catch((e: unknown) => e)
  t.ok(unknown instanceof NotFoundError)
  t.equal((unknown as APIError).code, 'model_not_found')
  t.match((unknown as APIError).requestID, /./)
})

t.test('an abort stops the upstream', async (t) => {
  const { a, gate, client } = await setup(t, { tokens: 1_000 })
  const stream = await client.chat.completions.create({ model: 'default', messages, stream: true })
  for await (const _ of stream) break
  stream.controller.abort()
  await gate.until(() => a.generations.at(-1)?.ended?.how === 'cut')
  t.pass('cut')
})

t.test('a 503 is tried again by the client and then told with its code', async (t) => {
  const { a, gate, client } = await setup(t)
  await a.refuse()
  const failure = await client.chat.completions
    .create({ model: 'default', messages }, { maxRetries: 1 })
    .catch((e: unknown) => e)
  t.ok(failure instanceof InternalServerError)
  t.match(failure, { status: 503, code: 'no_eligible_upstream' })
  t.equal(gate.lines.filter((line) => line.includes('no_eligible_upstream')).length, 2)
})

t.test('a failure mid-stream is an error, never a short answer', async (t) => {
  for (const how of ['reset', 'fin', 'chunked-end', 'eof-framed'] as const) {
    const { a, client } = await setup(t)
    a.cutAfter(2, how)
    const stream = await client.chat.completions.create({
      model: 'default',
      messages,
      stream: true,
    })
    const failure = await (async () => {
      for await (const _ of stream) continue
    })().catch((e: unknown) => e)
    t.ok(failure instanceof APIError, how)
    t.equal((failure as APIError).code, 'upstream_truncated', how)
  }
})

t.test('a client that takes its base URL from SYSTEM2_VLLM_BASE_URL', async (t) => {
  const { gate } = await setup(t)
  const env: Record<string, string> = { SYSTEM2_VLLM_BASE_URL: `${gate.url}/v1` }
  const client = new OpenAI({ baseURL: env['SYSTEM2_VLLM_BASE_URL'] ?? '', apiKey: 'local' })
  const chat = await client.chat.completions.create({ model: 'default', messages })
  t.ok(chat.choices[0]?.message.content)
  t.equal((await client.models.list()).data[0]?.id, 'default')
})
