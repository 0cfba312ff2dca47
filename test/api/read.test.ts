import t from 'tap'
import { EventSplitter } from '../../src/api/read.ts'

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
