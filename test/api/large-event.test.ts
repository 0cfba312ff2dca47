import * as fc from 'fast-check'
import t from 'tap'
import type { EventVerdict } from '../../src/api/api.ts'
import { LargeEvent } from '../../src/api/large-event.ts'
import { holds } from '../support/property.ts'
import { ANSWERS, type ApiName } from '../support/answer-apis.ts'
import { classify, eventsOf } from './events.ts'

// Rows of docs/faults.md that are shown here: large-last-event.

// Goal: what is kept of an event that is too large to hold says what the event says.
// Method: the verdict of `classifyEvent` on both; captured streams, and events of random shape.

function kept(api: ApiName, event: string | Buffer, cut = 1_000): Buffer {
  const large = new LargeEvent(ANSWERS[api])
  const bytes = Buffer.from(event)
  for (let at = 0; at < bytes.length; at += cut) large.push(bytes.subarray(at, at + cut))
  return Buffer.from(large.end())
}
/** The verdict, but for the engine's whole error: what is shown of it is in the message. */
function meaning(api: ApiName, event: string | Uint8Array): EventVerdict {
  const verdict = classify(api, event)
  return verdict.kind === 'error' ? { ...verdict, said: null } : verdict
}
const LONG = `"${String.raw`é\u0041\\\n`.repeat(150_000)}"`

t.test('LargeEvent: every event of captured streams means the same', async (t) => {
  const streams: [ApiName, string][] = [
    ['chat', 'llamacpp-b11434-chat_stream.sse'],
    ['chat', 'vllm-0.32.0-sigterm_abort.sse'],
    ['chat', 'ollama-0.33.0-kill9_runner.sse'],
    ['completions', 'llamacpp-b11434-compl_stream.sse'],
    ['responses', 'vllm-0.32.0-responses_stream.sse'],
    ['responses', 'llamacpp-b11434-responses_stream.sse'],
  ]
  for (const [api, name] of streams) {
    for (const event of eventsOf(name)) {
      t.strictSame(meaning(api, kept(api, event)), meaning(api, event))
    }
  }
})

// Each is more than a megabyte, and its end stands where no tail shows it.
const LARGE: [string, ApiName, string][] = [
  ['end', 'chat', `{"choices":[{"index":0,"finish_reason":"stop","delta":{"content":${LONG}}}]}`],
  ['end', 'chat', `{"choices":[{"index":3,"finish_reason":"stop","delta":{}}],"x":{"y":${LONG}}}`],
  [
    'error',
    'chat',
    `{"choices":[{"index":0,"finish_reason":"abort","delta":{"content":${LONG}}}]}`,
  ],
  ['error', 'chat', `{"error":{"message":${LONG}},"choices":[]}`],
  ['content', 'chat', `{"choices":[{"index":0,"delta":{"audio":{"data":${LONG}}}}]}`],
  ['content', 'chat', `{"choices":[{"index":0,"delta":{"content":${LONG}}}]}`],
  ['end', 'responses', `{"type":"response.completed","response":{"output":[{"x":[${LONG}]}]}}`],
  ['end', 'responses', `{"response":{"output":[${LONG}]},"type":"response.completed"}`],
  [
    'error',
    'responses',
    `{"type":"response.completed","response":{"status":"failed","o":[${LONG}]}}`,
  ],
  ['error', 'responses', `{"type":"response.failed","response":{"output":[${LONG}]}}`],
  ['end', 'messages', `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"x":${LONG}}`],
  ['neutral', 'messages', `{"type":"message_delta","delta":{"stop_reason":null},"x":[${LONG}]}`],
  ['neutral', 'chat', `{"choices":[{"index":0,"x":${LONG}`],
]
for (const [kind, api, data] of LARGE) {
  t.test(`LargeEvent: ${api}, ${kind}: ${data.slice(0, 70)}…`, async (t) => {
    const event = `event: x\r\ndata: ${data}\r\n\r\n`
    const small = kept(api, event, 65_536)
    t.ok(small.length < 5_000, `${small.length} bytes are kept`)
    const verdict = meaning(api, small)
    t.equal(verdict.kind, kind)
    t.strictSame(verdict, meaning(api, event))
  })
}

const leaf = fc.oneof(
  fc.string({ maxLength: 8 }),
  fc.constantFrom('x'.repeat(2_100), '\\'.repeat(1_100), '"'.repeat(1_100), '\u0001'.repeat(400)),
  fc.constantFrom(0, 1.5e10, null, true, false),
  fc.constantFrom('', 'stop', 'abort', 'response.completed', 'failed', 'error'),
)
const KEYS = `choices delta content index finish_reason error message object type response status
  stop_reason tool_calls text`.split(/\s+/)
const { any } = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.array(tie('any'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...KEYS), tie('any'), { maxKeys: 5 }),
  ),
}))

t.test('LargeEvent: any event means the same, however it is cut', async (t) => {
  for (const api of ['chat', 'completions', 'responses', 'messages'] as const) {
    holds(
      t,
      api,
      fc.property(any, fc.integer({ min: 1, max: 40 }), fc.boolean(), (body, cut, wide) => {
        const event = `data: ${JSON.stringify(body, null, wide ? 1 : 0).replaceAll('\n', '\ndata: ')}\n\n`
        const expected = meaning(api, event)
        const seen = meaning(api, kept(api, event, cut))
        return JSON.stringify(seen) === JSON.stringify(expected)
      }),
      400,
    )
  }
})

t.test('LargeEvent: never keeps more than a quarter of a megabyte', async (t) => {
  const large = new LargeEvent(ANSWERS.chat)
  large.push(Buffer.from('data: ['))
  for (let i = 0; i < 200; i++) large.push(Buffer.from('{"a":"b"},'.repeat(1_000)))
  t.ok(large.end().length <= 256 * 1024)
  t.equal(classify('chat', large.end()).kind, 'neutral')
})
