import type { AnswerApi, EventVerdict, TypedApi } from './tables.ts'
import { QUIET_NAMES, type Rule, WATCHED, type Watched } from './watched.ts'

/** `unsure`: it may be an end, an error or anything else. */
type Screened = 'content' | 'neutral' | 'unsure'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20
/** Bytes that a string may hold as they are. */
const PLAIN = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte < SPACE || byte === QUOTE || byte === BACKSLASH ? 0 : 1,
)
const OPENS = marks('{[')
const CLOSES = marks('}]')
const DATA = new TextEncoder().encode('data:')
const EVENT = new TextEncoder().encode('event:')
const DELTA = new TextEncoder().encode('.delta')
const NONE: readonly Watched[] = []

const VERDICTS: Readonly<Record<Screened, EventVerdict | null>> = {
  // Another index than the usual one is looked at closely.
  content: { kind: 'content', open: [0] },
  neutral: { kind: 'neutral' },
  unsure: null,
}

/**
 * Looks at the bytes of an event without parsing it, in less than a microsecond: for the many
 * events after the commit. Null where only `classifyEvent` can tell. Errs to one side only: what it
 * calls content or neutral is never an error, an end or `[DONE]`.
 */
export function screenEvent(api: AnswerApi, event: Uint8Array): EventVerdict | null {
  return VERDICTS[screen(api, event)]
}

function screen(api: AnswerApi, event: Uint8Array): Screened {
  const end = textEnd(event)
  if (end === 0) return 'neutral'
  if (event[0] === 0x3a) return isOneLine(event, end) ? 'neutral' : 'unsure'
  // Nothing is plain there: see `classifyEvent`.
  if (api === 'json') return 'unsure'
  const typed = api === 'responses' || api === 'messages'
  const line = typed && event[0] === EVENT[0] ? quietNameEnd(api, event) : 0
  if (line === -1 || !matches(event, line, DATA)) return 'unsure'
  const colon = line + DATA.length
  const start = event[colon] === SPACE ? colon + 1 : colon
  return event[start] === 0x7b ? screenObject(WATCHED[api], event, { start, end }) : 'unsure'
}

/** The offset after a first line that names an event which is no end and no error, or -1. */
function quietNameEnd(api: TypedApi, event: Uint8Array): number {
  if (!matches(event, 0, EVENT)) return -1
  let end = EVENT.length
  while ((event[end] ?? 0) >= SPACE) end += 1
  const quiet = QUIET_NAMES[api]
  if (!matches(event, end - quiet.length, quiet)) return -1
  if (event[end] === 0x0d) end += 1
  return event[end] === 0x0a ? end + 1 : -1
}

/** Goes from string to string; those before a colon are keys. `depth` counts what is open, `holder` is
 *  the depth at which the members of a delta stand; 0: in none. */
function screenObject(
  watched: readonly (readonly Watched[])[],
  event: Uint8Array,
  { start, end }: { readonly start: number; readonly end: number },
): Screened {
  let content = false
  let depth = 0
  let holder = 0
  let i = start
  while (i < end) {
    const byte = event[i] ?? 0
    i += 1
    // A second line: it could be another field of the event.
    if (byte < SPACE) return 'unsure'
    if (byte !== QUOTE) {
      if (OPENS[byte] === 1) depth += 1
      else if (CLOSES[byte] === 1) {
        if (depth === holder) holder = 0
        depth -= 1
      }
      continue
    }
    const from = i
    let escaped = false
    for (;;) {
      while (i < end && PLAIN[event[i] ?? 0] === 1) i += 1
      if (event[i] !== BACKSLASH) break
      escaped = true
      i += 2
    }
    if (i >= end || event[i] !== QUOTE) return 'unsure'
    const length = i - from
    i = skipSpaces(event, i + 1)
    if (event[i] !== 0x3a) continue
    // An escaped key may be any key.
    if (escaped) return 'unsure'
    const rule = ruleOf(watched[length] ?? NONE, event, from)
    const held = depth === holder
    if (rule === null && !held) continue
    // Calls in a delta have an index of their own.
    if (rule === 'index' && holder !== 0) continue
    i = skipSpaces(event, i + 1)
    if (rule === 'holder' && holder === 0 && event[i] === 0x7b) holder = depth + 1
    const seen = apply(rule ?? 'news', event, i)
    if (seen === 'unsure') return seen
    if (seen === 'content') content = true
  }
  return content ? 'content' : 'neutral'
}

function ruleOf(watched: readonly Watched[], event: Uint8Array, at: number): Rule | null {
  for (const { key, rule } of watched) {
    if (event[at] === key[0] && matches(event, at, key)) return rule
  }
  return null
}

/** What the value at `at` makes of the event. */
function apply(rule: Rule, event: Uint8Array, at: number): Screened {
  const first = event[at]
  switch (rule) {
    case 'null':
      return first === 0x6e ? 'neutral' : 'unsure'
    case 'response_type':
      return first === QUOTE ? quietType(event, at + 1) : 'neutral'
    case 'message_type':
      // By the first letter alone: `message_delta`, `message_stop`, `error`. Deltas are named else.
      return event[at + 1] === 0x6d || event[at + 1] === 0x65 || event[at + 1] === BACKSLASH
        ? 'unsure'
        : 'neutral'
    case 'kind':
      // By the first letter alone: the usual kinds begin with other ones.
      return event[at + 1] === 0x65 || event[at + 1] === BACKSLASH ? 'unsure' : 'neutral'
    case 'index':
      return first === 0x30 && !goesOn(event[at + 1]) ? 'neutral' : 'unsure'
    case 'news':
      if (first === QUOTE) return event[at + 1] === QUOTE ? 'neutral' : 'content'
      if (first !== 0x7b && first !== 0x5b) return 'neutral'
      return CLOSES[event[skipSpaces(event, at + 1)] ?? 0] === 1 ? 'neutral' : 'content'
    case 'holder':
    case 'quiet':
      return 'neutral'
  }
}

/** `response.….delta`, or a type of something inside that cannot be one of an event. */
function quietType(event: Uint8Array, at: number): Screened {
  const first = event[at]
  if (first !== 0x72) return first === 0x65 || first === BACKSLASH ? 'unsure' : 'neutral'
  let end = at
  while (PLAIN[event[end] ?? 0] === 1) end += 1
  return event[end] === QUOTE && matches(event, end - DELTA.length, DELTA) ? 'neutral' : 'unsure'
}

function marks(bytes: string): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) =>
    bytes.includes(String.fromCodePoint(byte)) ? 1 : 0,
  )
}

/** Is this part of a number that has begun? */
function goesOn(byte: number | undefined): boolean {
  return byte !== undefined && byte !== 0x2c && byte !== 0x7d && byte !== 0x5d && byte !== SPACE
}

/** The event without the line ends that close it. */
function textEnd(event: Uint8Array): number {
  let end = event.length
  while (end > 0 && (event[end - 1] === 0x0a || event[end - 1] === 0x0d)) end -= 1
  return end
}

function isOneLine(event: Uint8Array, end: number): boolean {
  for (let i = 0; i < end; i++) {
    if (event[i] === 0x0a || event[i] === 0x0d) return false
  }
  return true
}

function matches(bytes: Uint8Array, at: number, word: Uint8Array): boolean {
  for (let i = 0; i < word.length; i++) {
    if (bytes[at + i] !== word[i]) return false
  }
  return true
}

function skipSpaces(bytes: Uint8Array, at: number): number {
  let i = at
  while (bytes[i] === SPACE) i += 1
  return i
}
