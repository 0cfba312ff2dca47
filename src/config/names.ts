import { farness, nearestOf } from './known.ts'
import { GLOBAL_SETTINGS, type GlobalName } from './settings.ts'
import { type FieldName, UPSTREAM_FIELDS } from './upstream-settings.ts'
import type { SettingRow } from './types.ts'

/** What the name of a variable means. */
type NamedSetting =
  | { readonly kind: 'global'; readonly name: GlobalName; readonly row: SettingRow }
  | {
      readonly kind: 'field'
      readonly upstream: string
      readonly field: FieldName
      readonly row: SettingRow
    }
  | { readonly kind: 'unknown' }

export const GLOBAL_NAMES: readonly GlobalName[] = Object.keys(GLOBAL_SETTINGS).filter(isGlobal)
export const FIELD_NAMES: readonly FieldName[] = Object.keys(UPSTREAM_FIELDS).filter(isField)

const PREFIX = 'GENGATE_'
const FIELD = new RegExp(`^${PREFIX}([A-Z][A-Z0-9_]*)_(${FIELD_NAMES.join('|')})$`)

/** The variable that sets a field of an upstream. */
export function variableOf(upstream: string, field: FieldName): string {
  return `${PREFIX}${upstream.toUpperCase()}_${field}`
}

/** Is this variable meant for us? Every `GENGATE_…` is, also one in the wrong case. */
export function isOurs(variable: string): boolean {
  return isGlobal(variable) || /^gengate_/i.test(variable)
}

/** What a variable sets. Names of upstreams that are not listed count too. */
export function meaningOf(variable: string): NamedSetting {
  if (isGlobal(variable)) {
    return { kind: 'global', name: variable, row: GLOBAL_SETTINGS[variable] }
  }
  const [, name, field] = FIELD.exec(variable) ?? []
  if (name === undefined || field === undefined || !isField(field)) return { kind: 'unknown' }
  return { kind: 'field', upstream: name.toLowerCase(), field, row: UPSTREAM_FIELDS[field] }
}

function isGlobal(name: string): name is GlobalName {
  return Object.hasOwn(GLOBAL_SETTINGS, name)
}

function isField(name: string): name is FieldName {
  return Object.hasOwn(UPSTREAM_FIELDS, name)
}

/** Names that Kubernetes puts into every container for a Service called `gengate…`. */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)$/

/** Why GENGATE_PORT may be `tcp://10.0.0.1:8000`, and what to do about it. */
export const SERVICE_LINK_HINT =
  'Kubernetes sets such variables for a Service called gengate: rename the Service, ' +
  'or set enableServiceLinks: false in the pod.'

/** What to say about a variable that means nothing. */
export function unknownMessage(variable: string): string {
  if (SERVICE_LINK.test(variable)) return `is not a setting. ${SERVICE_LINK_HINT}`
  const nearest = nearestName(variable.toUpperCase().slice(PREFIX.length))
  return nearest === null
    ? 'is not a setting. `gengate config print` and docs/configuration.md list them.'
    : `is not a setting. Did you mean ${nearest}?`
}

/** The known name that `rest` (without prefix) was probably meant to be; null: none is near. */
function nearestName(rest: string): string | null {
  if (isField(rest)) return `${PREFIX}<NAME>_${rest}`
  const ours = GLOBAL_NAMES.filter((name) => name.startsWith(PREFIX))
  return nearestOf([
    ...ours.map((name) => ({ name, far: farness(rest, name.slice(PREFIX.length)) })),
    ...splits(rest).flatMap(([upstream, tail]) =>
      FIELD_NAMES.map((f) => ({ name: variableOf(upstream, f), far: farness(tail, f) })),
    ),
  ])
}

/** Every way to read `rest` as the name of an upstream and a field, `A_B_C`: `A`+`B_C`, `A_B`+`C`. */
function splits(rest: string): (readonly [upstream: string, field: string])[] {
  return [...rest.matchAll(/_/g)]
    .map(({ index }) => [rest.slice(0, index), rest.slice(index + 1)] as const)
    .filter(([upstream]) => /^[A-Z][A-Z0-9_]*$/.test(upstream))
}
