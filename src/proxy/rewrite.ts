import { QUOTE, spaceEnd, stringEnd } from './scan-tokens.ts'
import type { ScannedBody } from './scan.ts'

const MODEL_KEY = Buffer.from('"model"')

/** The request body with `name` as its model; every other byte stays as it is (design D8). */
export function withModel(bytes: Buffer, scan: ScannedBody, name: string): Buffer {
  const value = JSON.stringify(name)
  const { modelSpan, insertAt, empty } = scan
  if (modelSpan !== null) return splice(bytes, modelSpan.start, modelSpan.end, value)
  return splice(bytes, insertAt, insertAt, `"model":${value}${empty ? '' : ','}`)
}

/**
 * One answer event, or a whole JSON answer, with `to` in place of the first model name that it
 * tells; the same buffer when it tells none. Text that merely looks like the field, inside a
 * string, has its quotes escaped and is never touched.
 */
export function replaceModel(event: Buffer, to: string): Buffer {
  let key = event.indexOf(MODEL_KEY)
  while (key !== -1) {
    const colon = spaceEnd(event, key + MODEL_KEY.length)
    if (event[colon] === 0x3a && beginsKey(event, key)) {
      const start = spaceEnd(event, colon + 1)
      const end = event[start] === QUOTE ? stringEnd(event, start) : -1
      if (end !== -1) return splice(event, start, end, JSON.stringify(to))
    }
    key = event.indexOf(MODEL_KEY, key + MODEL_KEY.length)
  }
  return event
}

/** Does a key begin at the quote at `at`? Then a brace or a comma comes before it: in a string, or
 *  in a key that only ends in the word, it is a backslash. */
function beginsKey(bytes: Buffer, at: number): boolean {
  let i = at - 1
  while (i >= 0 && isSpace(bytes[i])) i -= 1
  return bytes[i] === 0x7b || bytes[i] === 0x2c
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

function splice(bytes: Buffer, start: number, end: number, text: string): Buffer {
  return Buffer.concat([bytes.subarray(0, start), Buffer.from(text), bytes.subarray(end)])
}
