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
