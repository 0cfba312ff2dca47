import {
  FIELD_NAMES,
  GLOBAL_NAMES,
  meaningOf,
  SERVICE_LINK_HINT,
  unknownMessage,
  variableOf,
} from './names.ts'
import {
  GLOBAL_SETTINGS,
  type GlobalName,
  type GlobalValue,
  type GlobalValues,
} from './settings.ts'
import type { ConfigIssue, Gathered, Given, Setting, Source } from './sources.ts'
import {
  isHalfQuoted,
  readAs,
  type RowValue,
  type SettingRow,
  type SettingType,
  unquoted,
} from './types.ts'
import {
  type FieldName,
  type FieldValue,
  type FieldValues,
  UPSTREAM_FIELDS,
} from './upstream-settings.ts'
import { SECRET_SHOWN } from './values.ts'

/** Reads a file; null: it cannot be read. */
export type ReadFile = (path: string) => string | null

/**
 * Every variable, parsed by its row of the table; and what is wrong, all of it. A value that was
 * refused reads as its default, so that the other checks can go on.
 */
export class Reading {
  readonly issues: ConfigIssue[]
  readonly shadowed: Set<string>
  readonly #read = new Map<string, Given & { readonly value: unknown }>()
  readonly #refused = new Set<string>()
  readonly #derived = new Map<string, Given>()

  readonly #readFile: ReadFile

  constructor(gathered: Gathered, readFile: ReadFile = () => null) {
    this.#readFile = readFile
    this.issues = [...gathered.issues]
    this.shadowed = new Set(gathered.shadowed)
    for (const [name, given] of gathered.given) this.#parse(name, given)
  }

  #parse(name: string, { text, source }: Given): void {
    const meaning = meaningOf(name)
    if (meaning.kind === 'unknown') return this.refuse(name, unknownMessage(name))
    const secret = meaning.row.secret === true
    const clean = secret ? text : unquoted(onOneLine(text)).trim()
    if (clean === '') return
    const problem = secret ? null : problemOf(clean)
    if (problem !== null) return this.refuse(name, problem)
    const hint = /^(tcp|udp):\/\//.test(clean) ? ` ${SERVICE_LINK_HINT}` : ''
    const value = this.take(name, meaning.row.type, clean, hint)
    if (value !== null) this.#read.set(name, { text: clean, source, value })
  }

  /** What this text is, by its type; null: it is refused, for all that is wrong with it. */
  take<T>(name: string, type: SettingType<T>, text: string, hint = ''): T | null {
    const parsed = readAs(type, text)
    if (parsed.ok) return parsed.value
    for (const message of parsed.messages) this.refuse(name, `${message}${hint}`)
    return null
  }

  /** The same of the file that this variable names. */
  takeFile<T>(name: string, type: SettingType<T>, path: string): T | null {
    const text = this.#readFile(path)
    if (text !== null) return this.take(name, type, text)
    this.refuse(name, 'names a file that cannot be read.')
    return null
  }

  /** Adds an issue. */
  refuse(name: string, message: string): void {
    this.#refused.add(name)
    this.issues.push({ name, message })
  }

  /** Was something wrong with this variable? */
  refused(name: string): boolean {
    return this.#refused.has(name)
  }

  /** Who set it; `default`: nobody did, or what they said was refused. */
  sourceOf(name: string): Source {
    return this.#read.get(name)?.source ?? 'default'
  }

  /** Is the value in force the default? */
  isDefault(name: string): boolean {
    const shown = this.#derived.get(name) ?? this.#read.get(name)
    return shown === undefined || shown.source === 'default'
  }

  /** Names of the variables that were set and understood. */
  get names(): readonly string[] {
    return [...this.#read.keys()]
  }

  global<Name extends GlobalName>(name: Name): GlobalValue<Name> {
    return this.#value(name, GLOBAL_SETTINGS[name])
  }

  field<Field extends FieldName>(upstream: string, field: Field): FieldValue<Field> {
    return this.#value(variableOf(upstream, field), UPSTREAM_FIELDS[field])
  }

  /** The values of all settings that have a key, by that key. */
  globals(): GlobalValues {
    const keyed = GLOBAL_NAMES.map((name) => [GLOBAL_SETTINGS[name], this.global(name)] as const)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- made by the types of the rows
    return byKey(keyed) as GlobalValues
  }

  /** The same of one upstream. */
  fields(upstream: string): FieldValues {
    const keyed = FIELD_NAMES.map((f) => [UPSTREAM_FIELDS[f], this.field(upstream, f)] as const)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- made by the types of the rows
    return byKey(keyed) as FieldValues
  }

  #value<Row extends SettingRow>(name: string, row: Row): RowValue<Row> {
    const fallback = row.default === undefined ? null : readAs(row.type, row.default)
    const value = this.#read.get(name)?.value ?? (fallback?.ok === true ? fallback.value : null)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- made by the type of this row
    return value as RowValue<Row>
  }

  /** What to show for a setting whose value in force is not the text of its variable. */
  show(name: string, text: string, source: Source): void {
    this.#derived.set(name, { text, source })
  }

  /** All settings in force, in the order of the table; unset ones are left out. */
  settings(upstreams: readonly string[], unused: readonly string[]): Setting[] {
    const fields = upstreams.flatMap((upstream) => FIELD_NAMES.map((f) => variableOf(upstream, f)))
    return [...GLOBAL_NAMES, ...fields, ...unused].flatMap((name) => this.#setting(name) ?? [])
  }

  #setting(name: string): Setting | null {
    const meaning = meaningOf(name)
    if (meaning.kind === 'unknown') return null
    const shown = this.#derived.get(name) ?? this.#read.get(name)
    const text = shown?.text ?? meaning.row.default
    if (text === undefined) return null
    const value = meaning.row.secret === true ? SECRET_SHOWN : text
    return { name, value, source: shown?.source ?? 'default' }
  }
}

/** What no setting may hold, whatever it means. Keys and command lines are looked at by their parsers. */
function problemOf(text: string): string | null {
  if (/\p{Cc}/u.test(text)) return 'holds a control character.'
  if (text.includes('\uFFFD')) return 'holds something that is not UTF-8.'
  if (isHalfQuoted(text)) return 'has a quotation mark at its start or end: leave it out.'
  return null
}

/** Lists may be written over several lines in quotation marks. */
function onOneLine(text: string): string {
  return text.replaceAll(/[\t\r\n]+/g, ' ').trim()
}

function byKey(rows: readonly (readonly [SettingRow, unknown])[]): object {
  return Object.fromEntries(
    rows.flatMap(([{ key }, value]) => (key === undefined ? [] : [[key, value]])),
  )
}
