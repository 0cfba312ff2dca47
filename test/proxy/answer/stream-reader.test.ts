import t from 'tap'
import type { Step } from '../../../src/proxy/answer/reader.ts'
import { StreamReader } from '../../../src/proxy/answer/stream-reader.ts'
import { ANSWERS } from '../../support/answer-apis.ts'

// Goal: what of an upstream's answer may go on, and when; and whether it ended properly.

const role =
  'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
const token = (text: string, index = 0) =>
  `data: {"model":"up","choices":[{"index":${index},"delta":{"content":"${text}"},"finish_reason":null}]}\n\n`
const finish = (reason: string, index = 0) =>
  `data: {"choices":[{"index":${index},"delta":{},"finish_reason":"${reason}"}]}\n\n`
const DONE = 'data: [DONE]\n\n'
const stream = (over = {}) => new StreamReader({ api: ANSWERS.chat, model: null, ...over })
const text = (step: Step) => Buffer.concat(step.out).toString()
const push = (reader: StreamReader, data: string) => reader.push(Buffer.from(data))

t.test('StreamReader holds role deltas and comments until the first content', async (t) => {
  const reader = stream()
  t.equal(text(push(reader, role)), '')
  t.equal(text(push(reader, ': keep-alive\n\n')), '')
  const step = push(reader, token('a'))
  t.equal(step.content, 1)
  t.equal(text(step), `${role}: keep-alive\n\n${token('a')}`, 'then all of it, byte for byte')
  t.equal(
    text(push(reader, token('b') + finish('stop') + DONE)),
    token('b') + finish('stop') + DONE,
  )
  t.equal(reader.end().failure, null)
  t.ok(reader.complete())
})

t.test('StreamReader never lets half an event out', async (t) => {
  const reader = stream()
  push(reader, token('a'))
  const event = token('bcd')
  t.equal(text(push(reader, event.slice(0, 30))), '')
  t.equal(text(push(reader, event.slice(30))), event)
})

t.test('StreamReader takes a proper finish without content for an answer', async (t) => {
  const reader = stream()
  t.equal(text(push(reader, role + finish('length'))), role + finish('length'))
  t.equal(reader.end().failure, null, 'also without [DONE]')
})

for (const [name, end] of [
  ['nothing', ''],
  ['[DONE] alone', DONE],
  ['abort and [DONE]', finish('abort') + DONE],
  ['error and [DONE]', finish('error') + DONE],
  ['an error frame and [DONE]', `data: {"error":{"message":"boom"}}\n\n${DONE}`],
] as const) {
  t.test(`StreamReader calls a stream that ends with ${name} a failure`, async (t) => {
    const reader = stream()
    push(reader, token('a'))
    const step = push(reader, end)
    const failure = step.failure ?? reader.end().failure
    t.match(failure?.code, /^upstream_(truncated|error)$/)
    t.notMatch(text(step), /DONE|abort|"error"/, 'and nothing of it went out')
    t.notOk(reader.complete())
  })
}

t.test('StreamReader wants every choice that it saw to end', async (t) => {
  const reader = stream({ n: 2 })
  push(reader, token('a', 0) + token('b', 1) + finish('stop', 0))
  t.equal(reader.end().failure?.code, 'upstream_truncated')
  const whole = stream({ n: 2 })
  push(whole, token('a', 0) + token('b', 1) + finish('stop', 0) + finish('stop', 1))
  t.equal(whole.end().failure, null)
  const ignored = stream({ n: 2 })
  push(ignored, token('a', 0) + finish('stop', 0) + DONE)
  t.equal(ignored.end().failure, null, 'an engine that ignores n is no liar')
})

t.test('StreamReader writes the name that the client used', async (t) => {
  const reader = stream({ model: 'mine' })
  t.equal(text(push(reader, token('a'))), token('a').replace('"up"', '"mine"'))
})

t.test('StreamReader gives up on a megabyte without content', async (t) => {
  const reader = stream()
  const comment = `: ${'x'.repeat(100_000)}\n\n`
  let failure = null
  for (let i = 0; i < 11; i++) failure = push(reader, comment).failure ?? failure
  t.equal(failure?.code, 'upstream_protocol_error')
})

t.test('StreamReader lets an event through that is too large to look at', async (t) => {
  const reader = stream()
  push(reader, token('a'))
  const huge = token('y'.repeat(3_000_000))
  let out = ''
  for (let at = 0; at < huge.length; at += 65_536)
    out += text(push(reader, huge.slice(at, at + 65_536)))
  t.equal(out, huge)
  t.equal(stream().end().failure?.code, 'upstream_truncated')
  t.notOk(reader.complete(), 'and still watches how it ends')
  t.equal(text(push(reader, finish('stop') + DONE)), finish('stop') + DONE)
  t.ok(reader.complete())
  t.equal(reader.end().failure, null)
})

t.test('StreamReader reads a large event in whatever pieces it comes', async (t) => {
  const pad = 'y'.repeat(1_100_000)
  const large = `data: {"choices":[{"finish_reason":"stop","index":0,"delta":{"content":"${pad}"}}]}`
  for (const end of ['\n\n', '\r\n\r\n', '\r\r', '']) {
    const reader = stream({ model: 'mine' })
    let out = text(push(reader, large.slice(0, 1_060_000)))
    for (const piece of [large.slice(1_060_000), ...end]) out += text(push(reader, piece))
    t.equal(out, large + end)
    t.equal(reader.end().failure, null)
  }
  const error = stream()
  push(error, token('a'))
  const step = push(error, `data: {"x":"${pad}","error":{"message":"boom"}}\n\n`)
  t.match(step.failure ?? push(error, '\n').failure, { code: 'upstream_error', message: 'boom' })
})

t.test('StreamReader writes the name of the client into a large event, too', async (t) => {
  const reader = stream({ model: 'mine' })
  const large = token('y'.repeat(1_100_000))
  const out =
    text(push(reader, large.slice(0, 1_060_000))) + text(push(reader, large.slice(1_060_000)))
  t.equal(out, large.replace('"up"', '"mine"'))
})

t.test('StreamReader ends with the answer, whatever follows', async (t) => {
  const reader = stream()
  push(reader, token('a') + finish('stop'))
  t.notOk(reader.complete(), 'usage may follow')
  const late = 'data: {"error":{"message":"late"}}\n\n'
  const step = push(reader, DONE + late)
  t.equal(step.failure, null)
  t.equal(text(step), DONE)
  t.equal(push(reader, late).failure, null)
  t.equal(reader.end().failure, null)
})

t.test('StreamReader tells that a prompt is read on, before the first content only', async (t) => {
  const reader = stream()
  t.notOk(push(reader, ': keep-alive\n\n').works)
  t.ok(push(reader, ': keepalive 512/4096\n\n').works)
  t.notOk(push(reader, ': keepalive 512/4096\n\n').works, 'not again')
  t.ok(push(reader, ': keepalive 1024/4096\n\n').works)
  push(reader, token('a'))
  t.notOk(push(reader, ': keepalive 4096/4096\n\n').works)
})
