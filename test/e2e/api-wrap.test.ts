import OpenAI, { APIError } from 'openai'
import t, { type Test } from 'tap'
import { post, readStream, servedBy } from '../support/ask.ts'
import { gateOverTwo, type Two } from '../support/gates.ts'
import type { FakeOptions } from '../support/fake-upstream.ts'

// Goal: a server that ignores `stream: true` and answers one JSON body, as PyPI's vllm-metal does,
// still gives its clients a stream, and one that breaks is still told.
// Method: the official `openai` package; two upstreams, both deaf to `stream`.

const messages = [{ role: 'user' as const, content: 'hi' }]

async function setup(
  t: Test,
  options: FakeOptions = {},
  env: Record<string, string> = {},
): Promise<Two & { client: OpenAI }> {
  const two = await gateOverTwo(t, { ignoresStream: true, ...options }, env)
  const client = new OpenAI({ baseURL: `${two.gate.url}/v1`, apiKey: 'any', maxRetries: 0 })
  return { ...two, client }
}

const LATE = { GENGATE_COMMIT_DEADLINE_MS: '100' }

for (const [name, options, env] of [
  ['at once', {}, {}],
  ['after the commit deadline', { ttftMs: 400 }, LATE],
] as const) {
  t.test(`chat (${name}): text, one role, a finish and the usage that was asked for`, async (t) => {
    const { a, client } = await setup(t, {}, env)
    Object.assign(a.options, options)
    for (const include_usage of [true, false]) {
      const stream = await client.chat.completions.create({
        model: 'default',
        messages,
        stream: true,
        stream_options: { include_usage },
      })
      let text = ''
      let usage: number | undefined
      const roles: unknown[] = []
      const finishes: unknown[] = []
      for await (const chunk of stream) {
        t.equal(chunk.object, 'chat.completion.chunk')
        const [choice] = chunk.choices
        text += choice?.delta.content ?? ''
        if (choice?.delta.role !== undefined) roles.push(choice.delta.role)
        if (choice?.finish_reason != null) finishes.push(choice.finish_reason)
        usage = chunk.usage?.completion_tokens ?? usage
      }
      t.equal(text, 'tok0 tok1 tok2 ')
      t.strictSame(roles, ['assistant'])
      t.strictSame(finishes, ['stop'])
      t.equal(usage, include_usage ? 3 : undefined)
    }
  })
}

t.test('completions become a stream, too', async (t) => {
  const { client } = await setup(t)
  const stream = await client.completions.create({ model: 'default', prompt: 'hi', stream: true })
  let text = ''
  let finish: unknown = null
  for await (const chunk of stream) {
    text += chunk.choices[0]?.text ?? ''
    finish = chunk.choices[0]?.finish_reason ?? finish
  }
  t.equal(text, 'tok0 tok1 tok2 ')
  t.equal(finish, 'stop')
})

t.test('the stream is one: type, length, last event, the model mapped back', async (t) => {
  const two = await setup(t, { strict: true }, { GENGATE_MODELS: 'fast=a:m|b:m' })
  const body = JSON.stringify({ model: 'fast', messages, stream: true })
  const answer = await post(`${two.gate.url}/v1/chat/completions`, body)
  t.match(answer.headers.get('content-type'), /^text\/event-stream/)
  t.equal(answer.headers.get('cache-control'), 'no-cache')
  const end = await readStream(answer)
  t.ok(end.done)
  t.notOk(end.broken)
  for (const event of end.events) t.equal((JSON.parse(event) as { model: string }).model, 'fast')
  const unary = await post(
    `${two.gate.url}/v1/chat/completions`,
    JSON.stringify({ model: 'fast', messages }),
  )
  t.match(unary.headers.get('content-type'), /^application\/json/, 'a unary answer stays one')
  t.match(await unary.json(), { object: 'chat.completion' })
})

function callOf(id: string): object {
  return { id, type: 'function', function: { name: id, arguments: '{}' } }
}

t.test('tool calls keep their order and get their index', async (t) => {
  const { a, client } = await setup(t)
  const message = { role: 'assistant', content: null, tool_calls: [callOf('x'), callOf('y')] }
  const choices = [{ index: 0, message, finish_reason: 'tool_calls' }]
  a.status(200, { id: 'c', object: 'chat.completion', created: 1, model: 'm', choices })
  const runner = client.chat.completions.stream({ model: 'default', messages })
  const whole = await runner.finalChatCompletion()
  t.equal(whole.choices[0]?.finish_reason, 'tool_calls')
  t.match(whole.choices[0]?.message.tool_calls, [{ id: 'x' }, { id: 'y' }])
})

t.test('an answer of several megabytes becomes a stream, whole', async (t) => {
  const { a, client } = await setup(t)
  const content = 'x'.repeat(3_000_000)
  const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }]
  a.status(200, { id: 'c', object: 'chat.completion', created: 1, model: 'm', choices })
  const stream = await client.chat.completions.create({ model: 'default', messages, stream: true })
  let length = 0
  for await (const chunk of stream) length += chunk.choices[0]?.delta.content?.length ?? 0
  t.equal(length, content.length)
})

const FAULTS = {
  'a 500': (two: Two) => two.a.status(500, { error: { message: 'boom' } }),
  'an error in a 200': (two: Two) => two.a.errorObject(),
  'half a body': (two: Two) => two.a.cutAfter(0, 'fin'),
  'an end by abort': (two: Two) => two.a.finishWith('abort'),
} as const
for (const [name, fault] of Object.entries(FAULTS)) {
  t.test(`${name} instead of the body is answered by the other`, async (t) => {
    for (const env of [{}, LATE]) {
      const two = await setup(t, {}, env)
      fault(two)
      if (env === LATE) two.a.options.ttftMs = 300
      const stream = await two.client.chat.completions.create({
        model: 'default',
        messages,
        stream: true,
      })
      let text = ''
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
      t.equal(text, 'tok0 tok1 tok2 ')
    }
  })
}

t.test('an error of the request after the commit deadline is told inside the stream', async (t) => {
  const two = await setup(t, {}, LATE)
  two.a.options.ttftMs = 300
  two.a.status(400, { error: { message: 'too long', type: 'BadRequestError', code: 400 } })
  const failure = await (async () => {
    const stream = await two.client.chat.completions.create({
      model: 'default',
      messages,
      stream: true,
    })
    for await (const _ of stream) continue
    return null
  })().catch((error: unknown) => error)
  t.ok(failure instanceof APIError)
  t.match(failure, { message: /too long/ })
})

for (const [path, body] of [
  ['/v1/responses', { input: 'hi' }],
  ['/v1/messages', { max_tokens: 9, messages }],
] as const) {
  t.test(`${path}: a body that cannot become events is never called a stream`, async (t) => {
    const two = await setup(t)
    const answer = await post(`${two.gate.url}${path}`, JSON.stringify({ stream: true, ...body }))
    const type = answer.headers.get('content-type') ?? ''
    const text = await answer.text()
    if (type.startsWith('text/event-stream')) t.match(text, /^(event|data):/m)
    else t.ok(JSON.parse(text), 'JSON is called JSON')
    t.equal(answer.headers.get('content-length'), String(text.length))
  })

  t.test(`${path}: after the commit deadline such a body is an error`, async (t) => {
    const two = await setup(t, {}, LATE)
    two.a.options.ttftMs = 300
    two.b.options.ttftMs = 300
    const answer = await post(`${two.gate.url}${path}`, JSON.stringify({ stream: true, ...body }))
    t.equal(servedBy(answer), 'pending')
    const end = await readStream(answer)
    t.notMatch(end.raw, /^\{/m, 'no bare JSON among the events')
    if (end.text === '') {
      t.ok(end.error, 'an error event')
      t.ok(end.broken)
    }
  })
}
