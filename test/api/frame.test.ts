import { createServer } from 'node:http'
import OpenAI, { APIError } from 'openai'
import t, { type Test } from 'tap'
import { classifyEvent } from '../../src/api/answer.ts'
import { errorFrame, errorFrameOf, mayBeNumbered, sequenceAfter } from '../../src/api/frame.ts'
import { ANSWERS, type ApiName } from '../support/answer-apis.ts'

// Goal: an error that a client finds inside a stream, in the words of the API that it speaks.
// Method: the real client, fed by a real server.

const APIS: readonly ApiName[] = [
  'chat',
  'completions',
  'embeddings',
  'responses',
  'messages',
  'json',
]

/** What the client of a server throws that answers with this stream, and what it read before. */
async function thrownBy(
  t: Test,
  stream: string,
  read: (client: OpenAI) => Promise<AsyncIterable<unknown>>,
) {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(stream)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close().closeAllConnections())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const baseURL = `http://127.0.0.1:${port}/v1`
  const client = new OpenAI({ baseURL, apiKey: 'x', maxRetries: 0 })
  let items = 0
  try {
    for await (const item of await read(client)) items += item === undefined ? 0 : 1
  } catch (error) {
    return { error, items }
  }
  return { error: null, items }
}

const chat = (client: OpenAI) =>
  client.chat.completions.create({ model: 'm', messages: [], stream: true })
const responses = (client: OpenAI) =>
  client.responses.create({ model: 'm', input: 'x', stream: true })
const token = 'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
const delta =
  'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n'

/** The name and the data of a frame. */
function readFrame(frame: string): { name: string | null; data: unknown } {
  const match = /^(?:event: (\w+)\n)?data: (.*)\n\n$/.exec(frame)
  if (match === null) throw new Error(`no frame: ${frame}`)
  return { name: match[1] ?? null, data: JSON.parse(match[2] ?? '') as unknown }
}

t.test('errorFrame: chat, as openai-node raises it', async (t) => {
  const frame = errorFrame(ANSWERS.chat, 'upstream_truncated', 'a\nb')
  const { error, items } = await thrownBy(t, token + frame, chat)
  t.equal(items, 1)
  t.ok(error instanceof APIError)
  t.match(error, { code: 'upstream_truncated', type: 'server_error', param: null })
  t.strictSame(Object.keys((readFrame(frame).data as { error: object }).error), [
    'message',
    'type',
    'param',
    'code',
  ])
})

t.test('errorFrame: responses, as openai-node and openai-python raise it', async (t) => {
  const frame = errorFrame(ANSWERS.responses, 'upstream_stalled', 'silent', 7)
  const { error, items } = await thrownBy(t, delta + frame, responses)
  t.equal(items, 1)
  t.ok(error instanceof APIError)
  t.match(error, { code: 'upstream_stalled', type: 'server_error', message: /silent/ })
  t.match(readFrame(frame), {
    name: 'error',
    data: {
      type: 'error',
      code: 'upstream_stalled',
      message: /silent/,
      param: null,
      sequence_number: 7,
      // openai-python raises on this and not on the name.
      error: { code: 'upstream_stalled', message: /silent/, param: null, type: 'server_error' },
    },
  })
  t.match(readFrame(errorFrame(ANSWERS.responses, 'upstream_error', '')), {
    data: { sequence_number: 0 },
  })
})

t.test('errorFrame: messages, in the words of that API', async (t) => {
  t.strictSame(
    Object.keys(readFrame(errorFrame(ANSWERS.messages, 'upstream_error', '')).data as object),
    ['type', 'error'],
  )
  for (const [code, type] of [
    ['upstream_error', 'api_error'],
    ['upstream_stalled', 'api_error'],
    ['no_eligible_upstream', 'overloaded_error'],
    ['gate_draining', 'overloaded_error'],
    ['invalid_model', 'invalid_request_error'],
  ] as const) {
    t.match(readFrame(errorFrame(ANSWERS.messages, code, 'why')), {
      name: 'error',
      data: { type: 'error', error: { type, message: /why/, code } },
    })
  }
})

t.test('errorFrame: one event in every API, an error to the gate itself', async (t) => {
  for (const api of APIS) {
    const frame = errorFrame(ANSWERS[api], 'upstream_truncated', 'x\r\n\r\ndata: {}\n\n\u2028')
    t.equal(frame.split(/\r\n|\r|\n/).filter((line) => line === '').length, 2, 'one blank line')
    t.match(classifyEvent(ANSWERS[api], Buffer.from(frame)), { kind: 'error', why: 'error' }, api)
    const more = errorFrameOf(ANSWERS[api], '{\n"error":\n"a\\nb"}') ?? ''
    t.match(classifyEvent(ANSWERS[api], Buffer.from(more)), { kind: 'error', message: 'a\nb' }, api)
  }
})

t.test("errorFrameOf: an upstream's own error object, whole", async (t) => {
  const error = { message: 'boom', type: 'BadRequestError', param: 'x', code: 400 }
  const body = JSON.stringify({ error })
  t.strictSame(readFrame(errorFrameOf(ANSWERS.chat, body) ?? ''), { name: null, data: { error } })
  t.strictSame(readFrame(errorFrameOf(ANSWERS.responses, body) ?? ''), {
    name: 'error',
    data: { type: 'error', code: '400', message: 'boom', param: 'x', sequence_number: 0, error },
  })
  t.strictSame(readFrame(errorFrameOf(ANSWERS.messages, body) ?? ''), {
    name: 'error',
    data: { type: 'error', error },
  })
  t.match((await thrownBy(t, errorFrameOf(ANSWERS.chat, body) ?? '', chat)).error, { code: 400 })
  t.match((await thrownBy(t, errorFrameOf(ANSWERS.responses, body) ?? '', responses)).error, {
    message: 'boom',
  })
})

const data = (api: ApiName, body: string) => readFrame(errorFrameOf(ANSWERS[api], body) ?? '').data

t.test('errorFrameOf: the other shapes, and what is none', async (t) => {
  t.strictSame(data('chat', '{"error":"boom"}'), { error: { message: 'boom' } })
  t.match(data('responses', '{"error":"boom"}'), { code: null, message: 'boom', param: null })
  t.strictSame(data('messages', '{"error":"boom"}'), {
    type: 'error',
    error: { message: 'boom', type: 'api_error' },
  })
  const overloaded = { type: 'overloaded_error', message: 'x' }
  t.strictSame(data('messages', JSON.stringify({ type: 'error', error: overloaded })), {
    type: 'error',
    error: overloaded,
  })
  t.strictSame(data('chat', '{"object":"error","message":"boom","code":400}'), {
    error: { message: 'boom', code: 400 },
  })
  t.strictSame(data('chat', '{"detail":"boom"}'), { error: { message: 'boom' } }, 'of FastAPI')
  for (const body of [
    '',
    '<html>',
    '[]',
    '{}',
    '{"error":null}',
    '{"error":""}',
    '{"detail":""}',
  ]) {
    t.equal(errorFrameOf(ANSWERS.chat, body), null, body)
  }
})

t.test('sequenceAfter() goes on from the last number that was said', async (t) => {
  const numbered = 'event: a\ndata: {"type":"a","sequence_number":6}\n\n'
  for (const [events, next] of [
    [numbered, 7],
    [`${numbered}event: b\ndata: {"sequence_number":7,"type":"b"}\n\n: comment\n\n`, 8],
    // What a client stored is no number of ours.
    ['data: {"sequence_number":3,"response":{"metadata":{"sequence_number":9}}}\n\n', 4],
    ['data: {"sequence_number":"3"}\n\n', 0],
    ['data: {"sequence_number":-1}\n\n', 0],
    ['data: {"type":"response.created"}\n\n', 0],
    ['data: {"sequence_number":1', 0],
    ['', 0],
  ] as const) {
    t.equal(sequenceAfter(Buffer.from(events)), next, events)
  }
  t.ok(mayBeNumbered(Buffer.from(numbered)))
  t.notOk(mayBeNumbered(Buffer.from('\n: comment\n\n')))
  t.match(errorFrameOf(ANSWERS.responses, '{"error":"x"}', { sequence: 7 }), /"sequence_number":7/)
})
