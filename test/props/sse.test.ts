import * as fc from 'fast-check'
import t from 'tap'
import { EventSplitter } from '../../src/api/read.ts'
import { holds } from '../support/property.ts'

// Rows of docs/bad-input.md that are shown here: B63.

const pieces = fc.array(
  fc.constantFrom(
    'data: x',
    ': c',
    'é😀',
    '\n',
    '\n',
    '\n\n',
    '\r',
    '\r\n',
    '\r\n\r\n',
    '\uFEFF',
    '\0',
  ),
  { maxLength: 20 },
)
const streams = pieces.map((list) => Buffer.from(list.join('')))
const cuts = fc.array(fc.nat(100), { maxLength: 12 })

function chunksOf(stream: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.map((place) => place % (stream.length + 1)), stream.length]
  const sorted = places.toSorted((a, b) => a - b)
  return sorted.slice(1).map((end, i) => stream.subarray(sorted[i], end))
}

/** The events by the words of the standard, over the whole stream at once. */
function reference(stream: Buffer): string[] {
  const text = stream.toString('latin1')
  const events: string[] = []
  let event = ''
  for (const [line] of text.matchAll(/[^\r\n]*(?:\r\n|\r|\n)/g)) {
    event += line
    if (!/^[\r\n]+$/.test(line)) continue
    events.push(event)
    event = ''
  }
  return events
}

t.test('EventSplitter: nothing lost, altered or moved, however it is cut', async (t) => {
  holds(
    t,
    'events and tail are the input',
    fc.property(streams, cuts, (stream, at) => {
      const splitter = new EventSplitter()
      const events = chunksOf(stream, at).flatMap((chunk) => splitter.push(chunk))
      return Buffer.concat([...events, splitter.tail()]).equals(stream)
    }),
    3000,
  )
})

const whole = (stream: Buffer): string[] =>
  new EventSplitter().push(stream).map((event) => event.toString('latin1'))

t.test('EventSplitter: finds the events of the standard', async (t) => {
  holds(
    t,
    'in one chunk',
    fc.property(streams, (stream) => {
      return JSON.stringify(whole(stream)) === JSON.stringify(reference(stream))
    }),
    3000,
  )
  holds(
    t,
    'in many: the same, but that the LF of a parted CRLF may follow alone',
    fc.property(streams, cuts, (stream, at) => {
      const splitter = new EventSplitter()
      const events: string[] = []
      for (const chunk of chunksOf(stream, at)) {
        for (const event of splitter.push(chunk)) {
          const text = event.toString('latin1')
          const parted = text === '\n' && events.at(-1)?.endsWith('\r') === true
          if (parted && chunk[0] === 0x0a && event.byteOffset === chunk.byteOffset) {
            events.push(`${events.pop() ?? ''}\n`)
          } else events.push(text)
        }
      }
      return JSON.stringify(events) === JSON.stringify(reference(stream))
    }),
    3000,
  )
})
