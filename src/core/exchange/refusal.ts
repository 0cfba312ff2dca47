import { knownModels, knownText } from '../model/models.ts'
import type { RouteDecision } from '../route.ts'
import type { RoutingTable } from '../table.ts'
import type { EngineKind } from '../upstream.ts'
import type { EndCode } from './ending.ts'
import type { Wish } from './exchange.ts'

/** Why nobody can have a request: code, detail and the field that is at fault. */
export type Refusal = readonly [EndCode, string, string | null]

/** What a request is told whose model nobody has, or that names none where none could be meant. Pure. */
export function noModel(
  table: RoutingTable,
  { kind, known }: Extract<RouteDecision, { kind: 'unknown_model' | 'model_required' }>,
): Refusal {
  if (kind === 'unknown_model') return ['model_not_found', knownText(known), 'model']
  const settings = table.entries.flatMap(({ spec }) =>
    spec.intent === 'enabled' && spec.model === null
      ? [`GENGATE_${spec.name.toUpperCase()}_MODEL`]
      : [],
  )
  return [kind, `${knownText(known)} To choose one: ${settings.join(' or ')}.`, 'model']
}

/** What a request is told that `no_route` meets. Pure. */
export function noRoute(table: RoutingTable, { wants, path }: Wish): Refusal {
  const { only } = wants
  if (only === undefined) return ['not_found', noRouteText(wants.able, path), null]
  const names = knownModels(table, ({ spec }) => spec.name === only)
  return ['response_model_mismatch', `${only} keeps it and serves ${names.join(', ')}.`, 'model']
}

/** What a client is told of a route that no configured upstream has. Pure. */
export function noRouteText(able: ReadonlySet<EngineKind> | undefined, path: string): string {
  return `No upstream that is configured has ${path}; engines that have it: ${[...(able ?? [])].join(', ')}.`
}
