import t from 'tap'
import {
  type AnswerReader,
  BodyReader,
  type Form,
  FormReader,
  type Step,
} from '../../../src/proxy/answer/reader.ts'
import { ANSWERS } from '../../support/answer-apis.ts'

// Rows of docs/faults.md that are shown here: stream-labelled-json.

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
  const reader = new FormReader(label, { either, readerFor })
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

const body = (over = {}) => new BodyReader({ api: ANSWERS.chat, model: null, ...over })
const text = (step: Step) => Buffer.concat(step.out).toString()
const answer =
  '{"model":"up","choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}'

t.test('BodyReader holds a JSON answer to its end and judges it', async (t) => {
  const reader = body({ model: 'mine' })
  t.equal(text(reader.push(Buffer.from(answer.slice(0, 20)))), '')
  reader.push(Buffer.from(answer.slice(20)))
  t.equal(text(reader.end()), answer.replace('"up"', '"mine"'))
})

for (const [bad, code] of [
  ['', 'upstream_protocol_error'],
  ['<html>', 'upstream_protocol_error'],
  ['{"choices":[]}', 'upstream_protocol_error'],
  ['{"error":{"message":"x"}}', 'upstream_error'],
  ['{"object":"error","message":"x"}', 'upstream_error'],
  ['{"choices":[{"message":{"content":"a"},"finish_reason":"abort"}]}', 'upstream_truncated'],
] as const) {
  t.test(`BodyReader refuses ${bad === '' ? 'an empty body' : bad}`, async (t) => {
    const reader = body()
    reader.push(Buffer.from(bad))
    const step = reader.end()
    t.equal(step.failure?.code, code)
    t.equal(step.out.length, 0)
  })
}

t.test('BodyReader commits beyond a megabyte and streams on', async (t) => {
  const reader = body()
  const part = Buffer.alloc(600_000, 'x')
  t.equal(reader.push(part).out.length, 0)
  t.equal(text(reader.push(part)).length, 1_200_000)
  t.equal(text(reader.push(Buffer.from('z'))), 'z')
  t.equal(reader.end().failure, null)
})
