/**
 * Where one JSON token ends, over bytes. Each function takes the offset of the token's first byte
 * and returns the offset after its last one, or -1 when it is not a valid token (RFC 8259, as
 * `JSON.parse` reads it). The bytes must be valid UTF-8.
 */

/** Bytes that a string may hold as they are: everything but controls, the quote, the backslash. */
const PLAIN = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte < 0x20 || byte === 0x22 || byte === 0x5c ? 0 : 1,
)
/** What may follow a backslash, besides `u`. */
const ESCAPES = Uint8Array.from({ length: 256 }, (_, byte) =>
  '"\\/bfnrt'.includes(String.fromCharCode(byte)) ? 1 : 0,
)

const HEX = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[\da-f]/i.test(String.fromCharCode(byte)) ? 1 : 0,
)

export const QUOTE = 0x22
const BACKSLASH = 0x5c

/** The end of the string whose opening quote is at `at`. */
export function stringEnd(bytes: Uint8Array, at: number): number {
  return Math.max(-1, textEnd(bytes, at + 1, bytes.length))
}

/** The end of the string that `at` is inside of; `~offset` to go on from when `stop` comes first. */
export function textEnd(bytes: Uint8Array, at: number, stop: number): number {
  const end = Math.min(stop, bytes.length)
  let i = at
  while (i < end) {
    const byte = bytes[i] ?? 0
    if (PLAIN[byte] === 1) {
      i += 1
      // Four at a time: half the cost in long texts, which is where the time of a scan goes.
      while (i + 3 < end) {
        const two = (PLAIN[bytes[i] ?? 0] ?? 0) & (PLAIN[bytes[i + 1] ?? 0] ?? 0)
        const more = (PLAIN[bytes[i + 2] ?? 0] ?? 0) & (PLAIN[bytes[i + 3] ?? 0] ?? 0)
        if ((two & more) === 0) break
        i += 4
      }
    } else if (byte === QUOTE) return i + 1
    else if (byte !== BACKSLASH) return -1
    else if (ESCAPES[bytes[i + 1] ?? 0] === 1) i += 2
    else if (bytes[i + 1] === 0x75 && areHex(bytes, i + 2)) i += 6
    else return -1
  }
  return ~i
}

/** Are the four bytes at `at` hexadecimal digits? */
function areHex(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 4; i++) {
    if (HEX[bytes[i] ?? 0] === 0) return false
  }
  return true
}

/** Does a number begin with this byte? */
export function isNumber(first: number): boolean {
  return first === 0x2d || (first >= 0x30 && first <= 0x39)
}

/** The end of the number, `true`, `false` or `null` that starts at `at`. */
export function scalarEnd(bytes: Uint8Array, at: number): number {
  return isNumber(bytes[at] ?? 0) ? numberEnd(bytes, at) : literalEnd(bytes, at)
}

function numberEnd(bytes: Uint8Array, at: number): number {
  let i = bytes[at] === 0x2d ? at + 1 : at
  if (bytes[i] === 0x30) i += 1
  else {
    const whole = digitsEnd(bytes, i)
    if (whole === i) return -1
    i = whole
  }
  if (bytes[i] === 0x2e) {
    const fraction = digitsEnd(bytes, i + 1)
    if (fraction === i + 1) return -1
    i = fraction
  }
  if (bytes[i] === 0x65 || bytes[i] === 0x45) {
    const sign = bytes[i + 1]
    const from = sign === 0x2b || sign === 0x2d ? i + 2 : i + 1
    i = digitsEnd(bytes, from)
    if (i === from) return -1
  }
  return i
}

function literalEnd(bytes: Uint8Array, at: number): number {
  const word = bytes[at] === 0x74 ? 'true' : bytes[at] === 0x66 ? 'false' : 'null'
  for (let i = 0; i < word.length; i++) {
    if (bytes[at + i] !== word.charCodeAt(i)) return -1
  }
  return at + word.length
}

/** How alike a token and a word are. */
const OTHER_WORD = 0
/** Equal but for case, as engines in Go compare the keys of an object (`encoding/json`). */
export const FOLDED_WORD = 1
export const SAME_WORD = 2

/**
 * Is the string token from `start` to `end` this word, in any spelling that escapes allow? The word
 * must be made of small ASCII letters and underscores. The token must be valid.
 */
export function likeness(bytes: Uint8Array, start: number, end: number, word: string): number {
  let i = start + 1
  let like = SAME_WORD
  for (let k = 0; k < word.length; k++) {
    let unit = bytes[i] ?? 0
    i += 1
    if (unit === BACKSLASH) {
      // The short escapes stand for no letter.
      if (bytes[i] !== 0x75) return OTHER_WORD
      unit = hexOf(bytes, i + 1)
      i += 5
    } else if (unit === 0xc5 && bytes[i] === 0xbf) {
      unit = LONG_S
      i += 1
    } else if (unit === 0xe2 && bytes[i] === 0x84 && bytes[i + 1] === 0xaa) {
      unit = KELVIN
      i += 2
    }
    const wanted = word.charCodeAt(k)
    if (unit === wanted) continue
    if (folded(unit) !== wanted) return OTHER_WORD
    like = FOLDED_WORD
  }
  return i === end - 1 ? like : OTHER_WORD
}

/** As `likeness`: the same word. */
export function isWord(bytes: Uint8Array, start: number, end: number, word: string): boolean {
  return likeness(bytes, start, end, word) === SAME_WORD
}

/** The only two letters outside of ASCII that fold to one inside (Unicode, simple case folding). */
const LONG_S = 0x17f
const KELVIN = 0x212a

function folded(unit: number): number {
  if (unit === LONG_S) return 0x73
  if (unit === KELVIN) return 0x6b
  return unit >= 0x41 && unit <= 0x5a ? unit + 0x20 : unit
}

/** Is it JSON white space? */
export function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** The first offset from `at` on that is not JSON white space; `stop` where none comes before. */
export function spaceEnd(bytes: Uint8Array, at: number, stop: number = bytes.length): number {
  const end = Math.min(stop, bytes.length)
  let i = at
  while (i < end) {
    const byte = bytes[i] ?? 0
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
    i += 1
  }
  return i
}

/** Longer runs are not followed: a scan accepts no number of that length. */
const DIGITS_MAX = 20_000

function digitsEnd(bytes: Uint8Array, at: number): number {
  const end = Math.min(bytes.length, at + DIGITS_MAX)
  let i = at
  while (i < end) {
    const byte = bytes[i] ?? 0
    if (byte < 0x30 || byte > 0x39) break
    i += 1
  }
  return i
}

/** The value of the four hexadecimal digits at `at`. */
function hexOf(bytes: Uint8Array, at: number): number {
  let value = 0
  for (let i = at; i < at + 4; i++) {
    const byte = bytes[i] ?? 0
    value = value * 16 + (byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57)
  }
  return value
}
