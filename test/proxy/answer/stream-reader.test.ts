import t from 'tap'
import type { AnswerReader, Step } from '../../../src/proxy/answer/reader.ts'
import { type Form, FormReader, StreamReader } from '../../../src/proxy/answer/stream-reader.ts'
import { ANSWERS } from '../../support/answer-apis.ts'

// Goal: what of an upstream's answer may go on, and when; and whether it ended properly.
// Rows of docs/faults.md that are shown here: stream-labelled-json.

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

const step = (out: Buffer[]): Step => ({ out, content: 0, failure: null })

/** Hands on what it gets and notes as what it was taken. */
function reading(label: Form, either = true) {
  const seen = { form: '', got: '', type: '' as string | null }
  const readerFor = (form: Form): AnswerReader => {
    seen.form = form
    return {
      push: (chunk) => step([chunk]),
      end: () => step([Buffer.from('|')]),
      complete: () => false,
    }
  }
  const reader = new FormReader(label, either, readerFor)
  const take = ({ out }: Step): void => void (seen.got += Buffer.concat(out).toString())
  return {
    push: (text: string | Buffer) => take(reader.push(Buffer.from(text))),
    end: () => {
      take(reader.end())
      return { ...seen, type: reader.type }
    },
  }
}

const EVENTS = 'text/event-stream; charset=utf-8'
const BOM = '\uFEFF'
for (const [bytes, label, form, type] of [
  ['data: {}\n\n', 'json', 'events', EVENTS],
  [': hello\n\n', 'json', 'events', EVENTS],
  ['event: x\n\n', 'json', 'events', EVENTS],
  ['id: 1\n\n', 'json', 'events', EVENTS],
  ['retry: 1\n\n', 'json', 'events', EVENTS],
  ['error: {"code":400}\n\n', 'json', 'events', EVENTS],
  [' \r\n\t{"a":1}', 'events', 'json', 'application/json'],
  ['{"a":1}', 'json', 'json', null],
  ['data: {}\n\n', 'events', 'events', null],
  ['database', 'json', 'json', null],
  ['data', 'events', 'events', null],
  ['<html>', 'events', 'events', null],
  ['', 'json', 'json', null],
  ['  ', 'json', 'json', null],
] as const) {
  t.test(`FormReader: ${JSON.stringify(bytes)} labelled ${label} is ${form}`, async (t) => {
    for (const bom of ['', BOM]) {
      const whole = reading(label)
      if (bytes !== '') whole.push(bom + bytes)
      t.strictSame(whole.end(), { form, got: `${bytes}|`, type })
      const parted = reading(label)
      for (const byte of Buffer.from(bom + bytes)) parted.push(Buffer.of(byte))
      t.strictSame(parted.end(), { form, got: `${bytes}|`, type }, 'in single bytes')
    }
  })
}

t.test('FormReader: where no stream was asked for the label says what it is', async (t) => {
  const unary = reading('json', false)
  unary.push(`${BOM}data: {}`)
  t.strictSame(unary.end(), { form: 'json', got: 'data: {}|', type: null })
})

t.test('FormReader: does not look for ever', async (t) => {
  const endless = reading('events')
  endless.push(' '.repeat(5_000))
  t.strictSame(endless.end(), { form: 'events', got: `${' '.repeat(5_000)}|`, type: null })
})
