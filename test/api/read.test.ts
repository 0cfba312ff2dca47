import t from 'tap'
import { EventSplitter, isRagged, StreamEnd } from '../../src/api/read.ts'
import { classifyEvent } from '../../src/api/answer.ts'
import type { EndRule } from '../../src/core/health/evidence.ts'
import { ANSWERS, type ApiName } from '../support/answer-apis.ts'

// Rows of docs/faults.md that are shown here: event-in-single-bytes.

const texts = (events: readonly Buffer[]): string[] => events.map((event) => event.toString())

t.test('EventSplitter: whole LF events are not copied', async (t) => {
  const splitter = new EventSplitter()
  const one = Buffer.from('data: 1\n\n')
  t.equal(splitter.push(one)[0], one, 'one event: the chunk itself')
  const two = Buffer.from('data: 1\n\n: x\n\n')
  const events = splitter.push(two)
  t.strictSame(texts(events), ['data: 1\n\n', ': x\n\n'])
  t.ok(
    events.every((event) => event.buffer === two.buffer),
    'several: windows on the chunk',
  )
  t.equal(splitter.tail().length, 0)
})

t.test('EventSplitter: line ends of every kind', async (t) => {
  for (const [stream, events, tail] of [
    ['a\r\n\r\nb\r\n\r\n', ['a\r\n\r\n', 'b\r\n\r\n'], ''],
    ['a\r\rb\r\r', ['a\r\r', 'b\r\r'], ''],
    ['a\n\nb\r\n\r\nc\r\r', ['a\n\n', 'b\r\n\r\n', 'c\r\r'], ''],
    ['a\r\n\nb', ['a\r\n\n'], 'b'],
    ['a\nb\n\nc\n', ['a\nb\n\n'], 'c\n'],
    ['a\n\n\nb\n\n', ['a\n\n', '\n', 'b\n\n'], ''],
    ['\uFEFFdata: 1\n\n', ['\uFEFFdata: 1\n\n'], ''],
    ['data: \0\n\n', ['data: \0\n\n'], ''],
  ] as const) {
    const splitter = new EventSplitter()
    t.strictSame(texts(splitter.push(Buffer.from(stream))), events, JSON.stringify(stream))
    t.equal(splitter.tail().toString(), tail)
  }
})

t.test('EventSplitter: an event is out as soon as its last byte is in', async (t) => {
  const splitter = new EventSplitter()
  t.strictSame(texts(splitter.push(Buffer.from('data: 1\r\n\r'))), ['data: 1\r\n\r'])
  t.strictSame(texts(splitter.push(Buffer.from('\ndata: 2'))), ['\n'], 'the rest of that CRLF')
  t.equal(splitter.tail().toString(), 'data: 2')
  t.strictSame(texts(splitter.push(Buffer.from('\r'))), [])
  t.strictSame(texts(splitter.push(Buffer.from('\n'))), [], 'half a CRLF is no blank line')
  t.strictSame(texts(splitter.push(Buffer.alloc(0))), [])
  t.strictSame(texts(splitter.push(Buffer.from('\n'))), ['data: 2\r\n\n'])
})

t.test('EventSplitter: an empty chunk does not part CR from LF', async (t) => {
  const splitter = new EventSplitter()
  splitter.push(Buffer.from('a\r'))
  splitter.push(Buffer.alloc(0))
  t.strictSame(texts(splitter.push(Buffer.from('\nb'))), [])
})

t.test('EventSplitter: more than 1 MiB of one event is told', async (t) => {
  const splitter = new EventSplitter()
  const chunk = Buffer.alloc(1024 * 1024, 'x')
  splitter.push(chunk)
  t.equal(splitter.overflow, false, 'exactly 1 MiB is held')
  splitter.push(Buffer.from('y'))
  t.equal(splitter.overflow, true)
  t.equal(splitter.tail().length, chunk.length + 1, 'nothing is lost')
})

t.test('EventSplitter: an event in pieces of one byte is copied three times at most', async (t) => {
  let copied = 0
  const concat = Buffer.concat.bind(Buffer)
  t.teardown(() => {
    Buffer.concat = concat
  })
  Buffer.concat = (...args: Parameters<typeof concat>) => {
    const whole = concat(...args)
    copied += whole.length
    return whole
  }
  const splitter = new EventSplitter()
  const event = Buffer.from(`data: ${'x'.repeat(200_000)}\n\n`)
  const events: Buffer[] = []
  for (let at = 0; at < event.length; at++) {
    events.push(...splitter.push(Buffer.from(Uint8Array.of(event[at] ?? 0).buffer)))
  }
  t.ok(events.length === 1 && events[0]?.equals(event))
  t.ok(copied <= 2 * event.length, `${copied} bytes`)
})

const choice = (reason: string | null, index = 0) =>
  JSON.stringify({ choices: [{ index, delta: { content: 'x' }, finish_reason: reason }] })
const DONE = '[DONE]'

/** How far a stream of these events has come. */
function endOf(api: ApiName, rule: EndRule, data: readonly string[]): StreamEnd {
  const end = new StreamEnd(ANSWERS[api], rule)
  for (const one of data) end.note(classifyEvent(ANSWERS[api], Buffer.from(`data: ${one}\n\n`)))
  return end
}

t.test('a stream of choices ends by the rule of its upstream', async (t) => {
  const rows: readonly [EndRule, readonly string[], proper: boolean, complete: boolean][] = [
    ['finish_reason', [choice(null)], false, false],
    ['finish_reason', [choice('stop')], true, false],
    ['finish_reason', [choice('a new word'), DONE], true, true],
    ['finish_reason', [choice(null), DONE], false, false],
    ['finish_reason', [choice(null, 1), choice('stop'), DONE], false, false],
    ['finish_reason', [choice('stop'), choice(null)], false, false],
    ['done', [choice(null), DONE], true, true],
    ['done', [DONE], false, false],
    ['done', [choice('stop')], false, false],
    ['learn', [choice(null), DONE], true, true],
    ['learn', [choice(null, 1), choice('stop'), DONE], false, false],
  ]
  for (const [rule, data, proper, complete] of rows) {
    const end = endOf('chat', rule, data)
    t.equal(end.proper, proper, `${rule}: ${data.join(' ')}`)
    t.equal(end.complete, complete, `${rule}: ${data.join(' ')}, whatever follows`)
    t.equal(end.broken, data.includes(DONE) && !proper)
  }
})

t.test('the events of other APIs name their end, whatever the upstream does', async (t) => {
  const over = '{"type":"response.completed","response":{"status":"completed"}}'
  t.ok(endOf('responses', 'done', [over]).complete, 'nothing follows')
  const stopped = '{"type":"message_delta","delta":{"stop_reason":"end_turn"}}'
  t.notOk(endOf('messages', 'done', [stopped]).complete)
  t.ok(endOf('messages', 'done', [stopped, '{"type":"message_stop"}']).complete)
})

t.test('what a stream shows is told while it is being learned', async (t) => {
  t.equal(endOf('chat', 'learn', [choice(null)]).sign, null)
  t.equal(endOf('chat', 'learn', [choice(null), DONE]).sign, 'done')
  t.equal(endOf('chat', 'learn', [choice('stop')]).sign, 'finish_reason')
  t.equal(endOf('chat', 'finish_reason', [choice('stop')]).sign, null)
})

const ragged = (text: string) => isRagged(Buffer.from(text), { kind: 'neutral' })

t.test('isRagged(): half an event is the end of no stream', async (t) => {
  t.ok(ragged('data: {"usage":{"a'))
  t.ok(ragged('data: [DO'))
  for (const rest of ['', '\n', ': ping', 'data: {"usage":{}}']) t.notOk(ragged(rest), rest)
  t.notOk(isRagged(Buffer.from('data: x'), { kind: 'done' }))
})
