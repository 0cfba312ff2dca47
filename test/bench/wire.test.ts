import t from 'tap'
import {
  asChunk,
  chatAnswer,
  chatBody,
  chatEvent,
  EVENT_BYTES,
  requestBytes,
  tokenEvent,
} from '../../bench/bodies.ts'
import { AnswerCutter, countEvents, RequestCutter } from '../../bench/wire.ts'
import { judgeJson } from '../../src/api/answer.ts'
import { screenEvent } from '../../src/api/screen.ts'
import { ANSWERS } from '../support/answer-apis.ts'

/** The bytes in pieces of `size`. */
function pieces(bytes: Buffer, size: number): Buffer[] {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) parts.push(bytes.subarray(at, at + size))
  return parts
}

const SIZES = [1, 2, 3, 7, 64, 100_000]

t.test('RequestCutter finds every request, however it is cut', async (t) => {
  const body = chatBody(500, false)
  const bytes = Buffer.concat([
    requestBytes('/v1/a?kind=unary', body),
    Buffer.from('GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n'),
    requestBytes('/v1/b', Buffer.alloc(0)),
  ])
  for (const size of SIZES) {
    const seen: string[] = []
    const cutter = new RequestCutter((target) => seen.push(target))
    for (const piece of pieces(bytes, size)) cutter.push(piece)
    t.same(seen, ['/v1/a?kind=unary', '/v1/models', '/v1/b'], `pieces of ${size}`)
  }
})

t.test('RequestCutter throws at a framing that it does not read', async (t) => {
  const cutter = new RequestCutter(() => {})
  const head = 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n'
  t.throws(() => cutter.push(Buffer.from(head)), /chunked/)
})

const HEAD = 'HTTP/1.1 200 OK\r\n'
const stream = Buffer.concat([
  Buffer.from(`${HEAD}transfer-encoding: chunked\r\n\r\n`),
  asChunk(tokenEvent()),
  asChunk(Buffer.concat([tokenEvent(), tokenEvent()])),
  asChunk(Buffer.from('data: [DONE]\n\n')),
  Buffer.from('0\r\n\r\n'),
])
const whole = Buffer.concat([Buffer.from(`${HEAD}Content-Length: 5\r\n\r\n`), Buffer.from('hello')])

t.test('AnswerCutter counts answers and events, however they are cut', async (t) => {
  for (const size of SIZES) {
    const cutter = new AnswerCutter()
    // A client here sends its next request after the end of an answer: never two in one read.
    for (const answer of [whole, stream, whole]) {
      for (const piece of pieces(answer, size)) cutter.push(piece)
    }
    t.equal(cutter.ended, 3, `answers in pieces of ${size}`)
    t.equal(cutter.events, 4, `events in pieces of ${size}`)
    t.equal(cutter.bad, 0)
    t.equal(cutter.within, false)
  }
})

t.test('AnswerCutter knows an answer that is not over, and one that is an error', async (t) => {
  const cutter = new AnswerCutter()
  cutter.push(stream.subarray(0, -1))
  t.equal(cutter.ended, 0)
  t.equal(cutter.within, true)
  const failed = new AnswerCutter()
  failed.push(Buffer.from('HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n'))
  t.equal(failed.bad, 1)
  t.equal(failed.ended, 1)
})

t.test('countEvents sees the event whose two line ends came apart', async (t) => {
  t.equal(countEvents(Buffer.from('\ndata: x\n\n'), true), 2)
  t.equal(countEvents(Buffer.from('\ndata: x\n\n'), false), 1)
  t.equal(countEvents(Buffer.from('data: x\n'), false), 0)
})

t.test('bodies have the size that they say, and are JSON', async (t) => {
  for (const bytes of [1_024, 102_400]) {
    t.equal(chatBody(bytes, false).length, bytes)
    t.equal(chatAnswer(bytes).length, bytes)
    t.type(JSON.parse(chatBody(bytes, true).toString()).messages, Array)
  }
  t.equal(tokenEvent().length, EVENT_BYTES)
  t.equal(asChunk(tokenEvent()).toString('latin1', 0, 4), 'e8\r\n')
})

t.test('what the stub says is content in the eyes of the gate', async (t) => {
  t.same(judgeJson(ANSWERS.chat, chatAnswer(1_024)), null)
  t.equal(screenEvent(ANSWERS.chat, tokenEvent())?.kind, 'content')
  t.equal(screenEvent(ANSWERS.chat, chatEvent({ role: 'assistant', content: '' }))?.kind, 'neutral')
})
