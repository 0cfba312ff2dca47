import { reasonsText, retryAfterMs } from '../core/explain.ts'
import { DEFAULT_MODEL, isChosen, knownModels, lists } from '../core/models.ts'
import { isServable, isStarting } from '../core/route.ts'
import { type RoutingTable, servesOf } from '../core/table.ts'
import { type Answer, errorAnswer, plainAnswer } from '../errors/answer.ts'

export interface ModelsContext {
  readonly requestId: string
  readonly nowMs: number
  /** Start of this process on the wall clock, ms: the one honest `created` a gate has. */
  readonly startedWallMs: number
}

/** Names that a message lists at most; an engine may list hundreds. */
const NAMES_MAX = 20

interface ModelObject {
  readonly id: string
  readonly object: 'model'
  readonly created: number
  readonly owned_by: string
}

/**
 * `GET /v1/models`, from the table alone. 503 when nothing is servable: clients exist that take
 * this call for a health check. Pure.
 */
export function modelsAnswer(table: RoutingTable, context: ModelsContext): Answer {
  if (!isServable(table)) return unservable(table, context)
  const data = servableModels(table).map((id) => modelObject(table, id, context))
  return json({ object: 'list', data }, context)
}

/** `GET /v1/models/{id}`; `id` decoded, slashes and all. Pure. */
export function modelAnswer(table: RoutingTable, id: string, context: ModelsContext): Answer {
  if (servableModels(table).includes(id)) return json(modelObject(table, id, context), context)
  const known = knownModels(table, () => true)
  if (known.includes(id) || isStarting(table.entries)) return unservable(table, context)
  const names = known.slice(0, NAMES_MAX).join(', ')
  const more = known.length > NAMES_MAX ? ` and ${known.length - NAMES_MAX} more` : ''
  return errorAnswer('model_not_found', {
    requestId: context.requestId,
    detail: known.length === 0 ? 'None is known yet.' : `Known: ${names}${more}.`,
    param: 'model',
  })
}

function servableModels(table: RoutingTable): string[] {
  return knownModels(table, (entry) => servesOf(entry) !== 'no')
}

function modelObject(table: RoutingTable, id: string, context: ModelsContext): ModelObject {
  const created = Math.floor(context.startedWallMs / 1000)
  return { id, object: 'model', created, owned_by: ownerOf(table, id) }
}

/** The engine of the first servable upstream that has it; the gate where the name is its own. */
function ownerOf(table: RoutingTable, id: string): string {
  if (table.config.models !== null || id === DEFAULT_MODEL) return 'gengate'
  const entry = table.entries.find(
    (candidate) =>
      servesOf(candidate) !== 'no' && (isChosen(candidate, id) || lists(candidate, id)),
  )
  return entry?.spec.engine ?? 'gengate'
}

function unservable(table: RoutingTable, context: ModelsContext): Answer {
  const code = isStarting(table.entries) ? 'upstream_starting' : 'no_eligible_upstream'
  return errorAnswer(code, {
    requestId: context.requestId,
    detail: reasonsText(table, context.nowMs),
    retryAfterMs: retryAfterMs(table, context.nowMs),
  })
}

function json(document: unknown, context: ModelsContext): Answer {
  const body = `${JSON.stringify(document)}\n`
  return plainAnswer(200, { type: 'application/json', body }, context.requestId)
}
