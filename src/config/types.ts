import { z } from 'zod'
import { clip } from '../errors/body.ts'

/** What a setting's text must be, and what it becomes. Messages follow the setting's name: "must be …". */
export type SettingType<T> = z.ZodType<T, string>

/** The value that a type gives. */
export type ValueOf<Type> = Type extends SettingType<infer T> ? T : never

/** A value that was understood, or everything that is wrong with its text. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly messages: readonly string[] }

/** Says what is wrong; the text is then refused, whatever is returned. */
export type Refuse = (message: string) => never

/** A whole number in decimal digits, from `min` to `max`. */
export function wholeNumber(min: number, max: number): SettingType<number> {
  const error = ({ input }: { input?: unknown }): string =>
    `must be a whole number from ${min} to ${max}, not ${quoted(input)}.`
  return z
    .string()
    .regex(/^\d{1,15}$/, { error })
    .transform(Number)
    .pipe(z.number().min(min, { error }).max(max, { error }))
}

/** The same of a unit, in which the name of the setting ends; the docs write it behind the default. */
export function milliseconds(min: number, max: number): SettingType<number> {
  return wholeNumber(min, max).meta({ unit: 'ms' })
}
export function bytes(min: number, max: number): SettingType<number> {
  return wholeNumber(min, max).meta({ unit: 'bytes' })
}

/** One of a closed set of words. */
export function oneOf<const Word extends string>(words: readonly Word[]): SettingType<Word> {
  const list = words.join(', ')
  return z.enum(words, { error: ({ input }) => `must be one of ${list}, not ${quoted(input)}.` })
}

/** `1` or `true`, `0` or `false`. */
export const yesOrNo: SettingType<boolean> = oneOf(['1', '0', 'true', 'false']).transform(
  (word) => word === '1' || word === 'true',
)

/** Any text that is not empty. */
export const anyText: SettingType<string> = z.string()

/** Whatever `parse` makes of the text. It may go on after it has refused something, to find it all. */
export function textTo<T>(parse: (text: string, refuse: Refuse) => T): SettingType<T> {
  return z.string().transform((text, ctx) => {
    const said = new Set<string>()
    const value = parse(text, (message) => {
      // The text itself stays out of the issue: it may be a secret.
      if (!said.has(message)) ctx.issues.push({ code: 'custom', message, input: undefined })
      said.add(message)
      return z.NEVER
    })
    return said.size > 0 ? z.NEVER : value
  })
}

/** Reads `text` by `type`. */
export function readAs<T>(type: SettingType<T>, text: string): Parsed<T> {
  const read = type.safeParse(text)
  if (read.success) return { ok: true, value: read.data }
  return { ok: false, messages: read.error.issues.map(({ message }) => message) }
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
 * nothing. What is not UTF-8 has become U+FFFD, and UTF-16 is full of NULs. Never repeats the text. Pure.
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

/** One row of a table of settings. */
export interface SettingRow {
  readonly type: SettingType<unknown>
  /** Its name in `Config`, or in what is known of one upstream; absent: the value goes into another one. */
  readonly key?: string
  /** As it would be written; absent: unset, or derived. */
  readonly default?: string
  /** Where the default comes from when it is not a fixed text, for the docs. */
  readonly derived?: string
  /** A key: shown as `(set)`, never repeated. */
  readonly secret?: true
  /** A change takes effect only when the gate starts again; absent: it applies to the running gate. */
  readonly restart?: true
  /** What it does, for docs/configuration.md. One line. */
  readonly doc: string
}

/** A row without a default may be unset. */
export type RowValue<Row extends SettingRow> =
  | ValueOf<Row['type']>
  | (Row extends { readonly default: string } ? never : null)

/** The values of all rows of a table that have a key, by that key. */
export type ValuesOf<Rows extends Readonly<Record<string, SettingRow>>> = {
  readonly [
    Name in keyof Rows as Rows[Name] extends { readonly key: infer Key extends string }
      ? Key
      : never
  ]: RowValue<Rows[Name]>
}
