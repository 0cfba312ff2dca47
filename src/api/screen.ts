import type { AnswerApi, EventVerdict, Members, Rule, Screen, Watched } from './api.ts'

type Row = readonly [key: string, rule: Rule]

const encoder = new TextEncoder()
const ERROR: readonly Row[] = [
  ['error', 'null'],
  ['detail', 'null'],
  ['object', 'kind'],
]

/** The screen of an API. `rows`: keys of its own; `types`: how the types of content end, and all that are
 *  something else. */
export function screenOf({
  rows,
  holders,
  members,
  types = { quiet: '', others: [] },
}: {
  readonly rows: readonly Row[]
  readonly holders: readonly string[]
  readonly members: Members
  readonly types?: { readonly quiet: string; readonly others: readonly string[] }
}): Screen {
  const known = [...ERROR, ...rows]
  const keys = new Set(known.map(([key]) => key))
  const quiet = (members.except ?? []).filter((key) => !keys.has(key))
  const all = [
    ...known,
    ...holders.map((key): Row => [key, 'holder']),
    ...(members.only ?? []).map((key): Row => [key, 'news']),
    ...quiet.map((key): Row => [key, 'quiet']),
  ]
  const longest = Math.max(...all.map(([key]) => key.length))
  return {
    watched: Array.from({ length: longest + 1 }, (_, length) =>
      all
        .filter(([key]) => key.length === length)
        .map(([key, rule]) => ({ key: encoder.encode(key), rule })),
    ),
    quiet: encoder.encode(types.quiet),
    // An escape may be any letter.
    suspect: marks(['\\', ...types.others.map((type) => type.slice(0, 1))].join('')),
  }
}

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
const DATA = encoder.encode('data:')
const EVENT = encoder.encode('event:')
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
  return VERDICTS[screenBytes(api, event)]
}

function screenBytes({ screen }: AnswerApi, event: Uint8Array): Screened {
  const end = textEnd(event)
  if (end === 0) return 'neutral'
  if (event[0] === 0x3a) return isOneLine(event, end) ? 'neutral' : 'unsure'
  if (screen === null) return 'unsure'
  const named = screen.quiet.length > 0 && event[0] === EVENT[0]
  const line = named ? quietNameEnd(screen.quiet, event) : 0
  if (line === -1 || !matches(event, line, DATA)) return 'unsure'
  const colon = line + DATA.length
  const start = event[colon] === SPACE ? colon + 1 : colon
  return event[start] === 0x7b ? screenObject(screen, event, { start, end }) : 'unsure'
}

/** The offset after a first line that names an event which is neither an end nor an error, or -1. */
function quietNameEnd(quiet: Uint8Array, event: Uint8Array): number {
  if (!matches(event, 0, EVENT)) return -1
  let end = EVENT.length
  while ((event[end] ?? 0) >= SPACE) end += 1
  if (!matches(event, end - quiet.length, quiet)) return -1
  if (event[end] === 0x0d) end += 1
  return event[end] === 0x0a ? end + 1 : -1
}

/** Goes from string to string; those before a colon are keys. `depth` counts what is open, `holder` is
 *  the depth at which the members of a delta stand; 0: in none. */
function screenObject(
  screen: Screen,
  event: Uint8Array,
  { start, end }: { readonly start: number; readonly end: number },
): Screened {
  const { watched } = screen
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
    const seen = apply(rule ?? 'news', screen, event, i)
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
function apply(rule: Rule, screen: Screen, event: Uint8Array, at: number): Screened {
  const first = event[at]
  switch (rule) {
    case 'null':
      return first === 0x6e ? 'neutral' : 'unsure'
    case 'type':
      return first === QUOTE ? typeAt(screen, event, at + 1) : 'neutral'
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

/** Is this type one of content, or of something inside that cannot be one of an event? */
function typeAt({ quiet, suspect }: Screen, event: Uint8Array, at: number): Screened {
  if (suspect[event[at] ?? 0] !== 1) return 'neutral'
  let end = at
  while (PLAIN[event[end] ?? 0] === 1) end += 1
  return event[end] === QUOTE && matches(event, end - quiet.length, quiet) ? 'neutral' : 'unsure'
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
