import { clip } from '../errors/body.ts'

/** A value that was understood, or what is wrong with its text: sentences that follow the name of
 *  the setting ("must be …"). */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly messages: readonly string[] }

export function good<T>(value: T): Parsed<T> {
  return { ok: true, value }
}

export function bad(...messages: readonly string[]): Parsed<never> {
  return { ok: false, messages }
}

/** Longest piece of a value that a message repeats, characters. */
const QUOTED_MAX = 60

/** The text in quotation marks, for messages. Never for a key or a URL: those may hold secrets. */
export function quoted(text: unknown): string {
  return `"${clip(String(text), QUOTED_MAX)}"`
}

/** The entries of a list, trimmed, empty ones dropped. */
export function entriesOf(text: string, separator: string): string[] {
  return text
    .split(separator)
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
}

/** A text without the quotation marks that enclose the whole of it. Pure. */
export function unquoted(text: string): string {
  const [, , inner] = /^(["'`])(.*)\1$/s.exec(text) ?? []
  return inner === undefined || inner.includes(text[0] ?? '') ? text : inner
}

/** Does a quotation mark of any kind stand at its start or its end? Pure. */
export function isHalfQuoted(text: string): boolean {
  return /^["'`\u2018-\u201F\u00AB\u00BB]|["'`\u2018-\u201F\u00AB\u00BB]$/.test(text)
}

/**
 * What is wrong with the bytes of a file that was read as UTF-8, in words that follow its name; null:
 * nothing. What is no UTF-8 has become U+FFFD, and that UTF-16 is full of NULs. Never repeats the text. Pure.
 */
export function encodingProblem(text: string): string | null {
  const at = text.search(/[\0\uFFFD]/)
  if (at < 0) return null
  const nuls = text.split('\0').length - 1
  if (nuls > text.length / 4) return 'is UTF-16, not UTF-8: save it as UTF-8.'
  const line = text.slice(0, at).split('\n').length
  return text[at] === '\0'
    ? `holds a NUL (line ${line}).`
    : `is not UTF-8 (line ${line}): save it as UTF-8.`
}
