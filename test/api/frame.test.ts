import OpenAI, { APIError } from 'openai'
import t, { type Test } from 'tap'
import { errorFrame, errorFrameOf, mayBeNumbered, sequenceAfter } from '../../src/api/frame.ts'
import { ANSWERS, type ApiName } from '../support/answer-apis.ts'
import { classify, clientOf } from './events.ts'

// Goal: an error that a client finds inside a stream, in the words of the API that it speaks.
// Method: the real client, fed by a real server.

const APIS = Object.keys(ANSWERS) as ApiName[]

/** What the client of a server throws that answers with this stream, and what it read before. */
async function thrownBy(
  t: Test,
  stream: string,
  read: (client: OpenAI) => Promise<AsyncIterable<unknown>>,
) {
  const client = await clientOf(t, stream)
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
  const keys = Object.keys((readFrame(frame).data as { error: object }).error)
  t.equal(keys.join(), 'message,type,param,code')
})

t.test('errorFrame: responses, as openai-node and openai-python raise it', async (t) => {
  const frame = errorFrame(ANSWERS.responses, 'upstream_stalled', 'silent', 7)
  const { error, items } = await thrownBy(t, delta + frame, responses)
  t.equal(items, 1)
  t.ok(error instanceof APIError)
  t.match(error, { code: 'upstream_stalled', type: 'server_error', message: /silent/ })
  const said = { code: 'upstream_stalled', message: /silent/, param: null }
  t.match(readFrame(frame), {
    name: 'error',
    // openai-python raises on `error` and not on the name.
    data: { ...said, type: 'error', sequence_number: 7, error: { ...said, type: 'server_error' } },
  })
  const first = errorFrame(ANSWERS.responses, 'upstream_error', '')
  t.match(readFrame(first).data, { sequence_number: 0 })
})

t.test('errorFrame: messages, in the words of that API', async (t) => {
  const frame = errorFrame(ANSWERS.messages, 'upstream_error', '')
  t.equal(Object.keys(readFrame(frame).data as object).join(), 'type,error')
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
    t.match(classify(api, frame), { kind: 'error', why: 'error' }, api)
    const more = errorFrameOf(ANSWERS[api], '{\n"error":\n"a\\nb"}') ?? ''
    t.match(classify(api, more), { kind: 'error', message: 'a\nb' }, api)
  }
})

const data = (api: ApiName, body: string) => readFrame(errorFrameOf(ANSWERS[api], body) ?? '').data

t.test("errorFrameOf: an upstream's own error object, whole", async (t) => {
  const error = { message: 'boom', type: 'BadRequestError', param: 'x', code: 400 }
  const body = JSON.stringify({ error })
  const [frame, response] = [ANSWERS.chat, ANSWERS.responses].map((api) => errorFrameOf(api, body))
  t.strictSame(readFrame(frame ?? ''), { name: null, data: { error } })
  const told = {
    type: 'error',
    code: '400',
    message: 'boom',
    param: 'x',
    sequence_number: 0,
    error,
  }
  t.strictSame(readFrame(response ?? ''), { name: 'error', data: told })
  const message = { name: 'error', data: { type: 'error', error } }
  t.strictSame(readFrame(errorFrameOf(ANSWERS.messages, body) ?? ''), message)
  t.match((await thrownBy(t, frame ?? '', chat)).error, { code: 400 })
  t.match((await thrownBy(t, response ?? '', responses)).error, { message: 'boom' })
})

t.test('errorFrameOf: the other shapes, and what is none', async (t) => {
  const boom = { message: 'boom' }
  t.strictSame(data('chat', '{"error":"boom"}'), { error: boom })
  t.match(data('responses', '{"error":"boom"}'), { code: null, message: 'boom', param: null })
  const typed = { type: 'error', error: { message: 'boom', type: 'api_error' } }
  t.strictSame(data('messages', '{"error":"boom"}'), typed)
  const overloaded = { type: 'error', error: { type: 'overloaded_error', message: 'x' } }
  t.strictSame(data('messages', JSON.stringify(overloaded)), overloaded)
  const coded = { error: { message: 'boom', code: 400 } }
  t.strictSame(data('chat', '{"object":"error","message":"boom","code":400}'), coded)
  t.strictSame(data('chat', '{"detail":"boom"}'), { error: boom }, 'of FastAPI')
  const none = ['{"error":null}', '{"error":""}', '{"detail":""}']
  for (const body of ['', '<html>', '[]', '{}', ...none]) {
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
