import t from 'tap'
import { BodyReader, type Step } from '../../../src/proxy/answer/reader.ts'
import { ANSWERS } from '../../support/answer-apis.ts'

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
