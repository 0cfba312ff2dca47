import { z } from 'zod'
import { type Parsed, quoted } from './parsed.ts'

/** What a setting's text must be, and what it becomes. Messages follow the setting's name. */
export type SettingType<T> = z.ZodType<T, string>

/** The value that a type gives. */
export type ValueOf<Type> = Type extends SettingType<infer T> ? T : never

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

/** Whatever `parse` makes of the text. */
export function parsedBy<T>(parse: (text: string) => Parsed<T>): SettingType<T> {
  return z.string().transform((text, ctx) => {
    const parsed = parse(text)
    if (parsed.ok) return parsed.value
    for (const message of parsed.messages) {
      // The text itself stays out of the issue: it may be a secret.
      ctx.issues.push({ code: 'custom', message, input: undefined })
    }
    return z.NEVER
  })
}

/** Reads `text` by `type`. */
export function readAs<T>(type: SettingType<T>, text: string): Parsed<T> {
  const read = type.safeParse(text)
  if (read.success) return { ok: true, value: read.data }
  return { ok: false, messages: read.error.issues.map((issue) => issue.message) }
}

/** The tables of docs/configuration.md, in their order. */
export const GROUPS = [
  'Listener',
  'Upstreams',
  'One upstream',
  'Engines that gengate run starts',
  'Model names',
  'Health',
  'Time and size',
  'Access',
  'Logs',
] as const

/** One row of a table of settings. */
export interface SettingRow {
  readonly group: (typeof GROUPS)[number]
  readonly type: SettingType<unknown>
  /** As it would be written; absent: unset, or derived. */
  readonly default?: string
  /** Where the default comes from when it is no fixed text, for the docs. */
  readonly derived?: string
  /** A key: shown as `(set)`, never repeated. */
  readonly secret?: true
  /** A change takes effect only when the gate starts again. */
  readonly restart?: true
  /** What it does, for docs/configuration.md. One line. */
  readonly doc: string
}

/** A row without a default may be unset. */
export type RowValue<Row extends SettingRow> =
  | ValueOf<Row['type']>
  | (Row extends { readonly default: string } ? never : null)
