import { isSpace, isWord, QUOTE, spaceEnd, stringEnd } from './scan-tokens.ts'
import type { ScannedBody, Span } from './scan.ts'

const MODEL_KEY = Buffer.from('"model"')
const DATA = Buffer.from('data:')

/** The request body with `name` as its model; every other byte stays as it is
 *  (docs/decisions/0015). */
export function withModel(bytes: Buffer, scan: ScannedBody, name: string): Buffer {
  const value = JSON.stringify(name)
  const { modelSpan, insertAt, empty } = scan
  if (modelSpan !== null) return splice(bytes, modelSpan.start, modelSpan.end, value)
  return splice(bytes, insertAt, insertAt, `"model":${value}${empty ? '' : ','}`)
}

/**
 * One answer event, or a whole JSON answer, with `to` in place of the first model name that is the
 * answer's own: a member of the object itself, of its `response` or of its `message` (decision 7).
 * The same buffer when it tells none. Names elsewhere are the client's: in metadata that it stored,
 * in the input of a tool. Text that merely looks like the field, inside a string, has its quotes
 * escaped and is never touched.
 */
export function replaceModel(event: Buffer, to: string): Buffer {
  const key = event.indexOf(MODEL_KEY)
  if (key === -1) return event
  const from = dataStart(event)
  const span = plainName(event, from, key) ?? ownName(event, from)
  return span === null ? event : splice(event, span.start, span.end, JSON.stringify(to))
}

/** The value of the key at `key`, where the one bracket before it opens the object: so it is in each
 *  event of a chat. Null: look closer. */
function plainName(event: Buffer, from: number, key: number): Span | null {
  let open = 0
  for (let i = from; i < key; i++) {
    const byte = event[i]
    if (byte === 0x7b) open += 1
    else if (byte === 0x5b) return null
  }
  if (open !== 1) return null
  const colon = spaceEnd(event, key + MODEL_KEY.length)
  return event[colon] === 0x3a && beginsKey(event, key) ? stringAt(event, colon + 1) : null
}

/** Does a key begin at the quote at `at`? Then a brace or a comma comes before it: in a string, or
 *  in a key that only ends in the word, it is a backslash. */
function beginsKey(bytes: Buffer, at: number): boolean {
  let i = at - 1
  while (i >= 0 && isSpace(bytes[i])) i -= 1
  return bytes[i] === 0x7b || bytes[i] === 0x2c
}

/** Where the answer's own model name stands; null: it tells none, or is not JSON up to there. */
function ownName(event: Buffer, from: number): Span | null {
  let depth = 0
  let inAnswer = false
  let i = from
  while (i < event.length) {
    const byte = event[i]
    if (byte !== QUOTE) {
      if (byte === 0x7b || byte === 0x5b) depth += 1
      else if (byte === 0x7d || byte === 0x5d) depth -= 1
      i += 1
      continue
    }
    const end = stringEnd(event, i)
    if (end === -1) return null
    if (depth === 1 || (depth === 2 && inAnswer)) {
      const colon = spaceEnd(event, end)
      if (event[colon] === 0x3a) {
        const value = isWord(event, i, end, 'model') ? stringAt(event, colon + 1) : null
        if (value !== null) return value
        if (depth === 1) inAnswer = holdsAnswer(event, i, end)
      }
    }
    i = end
  }
  return null
}

/** Does the event begin with `data:`? Most do, and this is faster than a search. */
function isAtStart(event: Buffer): boolean {
  return (
    event[0] === 0x64 &&
    event[1] === 0x61 &&
    event[2] === 0x74 &&
    event[3] === 0x61 &&
    event[4] === 0x3a
  )
}

/** Does the member with this key hold the answer where an event is about one (Responses, Messages)? */
function holdsAnswer(event: Buffer, start: number, end: number): boolean {
  return isWord(event, start, end, 'response') || isWord(event, start, end, 'message')
}

/** The string that is the value after a colon; null: the value is not a string. */
function stringAt(event: Buffer, afterColon: number): Span | null {
  const start = spaceEnd(event, afterColon)
  const end = event[start] === QUOTE ? stringEnd(event, start) : -1
  return end === -1 ? null : { start, end }
}

/** The offset of the JSON: 0 in a body, after the first `data:` that begins a line in an event, the
 *  end where there is none. */
function dataStart(event: Buffer): number {
  if (event[spaceEnd(event, 0)] === 0x7b) return 0
  let at = isAtStart(event) ? 0 : event.indexOf(DATA)
  while (at > 0 && event[at - 1] !== 0x0a && event[at - 1] !== 0x0d)
    at = event.indexOf(DATA, at + 1)
  return at === -1 ? event.length : at + DATA.length
}

function splice(bytes: Buffer, start: number, end: number, text: string): Buffer {
  return Buffer.concat([bytes.subarray(0, start), Buffer.from(text), bytes.subarray(end)])
}
