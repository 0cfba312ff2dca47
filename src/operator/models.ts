import { reasonsText, retryAfterMs } from '../core/explain.ts'
import { listedAs } from '../core/model/model-choice.ts'
import {
  DEFAULT_MODEL,
  isChosen,
  knownModels,
  knownText,
  lists,
  type Member,
  membersFor,
  membersForExact,
} from '../core/model/models.ts'
import { isServable, isStarting, yetToList } from '../core/route.ts'
import { type Entry, servesOf } from '../core/entry.ts'
import type { RoutingTable } from '../core/table.ts'
import { type Answer, errorAnswer, plainAnswer } from '../errors/answer.ts'

export interface ModelsContext {
  readonly requestId: string
  readonly nowMs: number
  /** Start of this process on the wall clock, ms: the one honest `created` a gate has. */
  readonly startedWallMs: number
}

/** As OpenAI has it, and whatever else the engine says of its model. */
interface ModelObject {
  readonly id: string
  readonly object: 'model'
  readonly created: unknown
  readonly owned_by: unknown
  readonly [field: string]: unknown
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

/** `GET /v1/models/{id}`; `id` decoded, slashes and all. A name that an engine takes for one of its
 *  models is known, too. Pure. */
export function modelAnswer(table: RoutingTable, id: string, context: ModelsContext): Answer {
  const isKnown = (accepts: (entry: Entry) => boolean): boolean =>
    knownModels(table, accepts).includes(id) || isAnotherName(table, id, accepts)
  if (isKnown(isServing)) return json(modelObject(table, id, context), context)
  if (isKnown(() => true) || yetToList(table).length > 0) return unservable(table, context)
  return errorAnswer('model_not_found', {
    requestId: context.requestId,
    detail: knownText(knownModels(table, () => true)),
    param: 'model',
  })
}

function servableModels(table: RoutingTable): string[] {
  return knownModels(table, isServing)
}

function isServing(entry: Entry): boolean {
  return servesOf(entry) !== 'no'
}

function isAnotherName(
  table: RoutingTable,
  id: string,
  accepts: (entry: Entry) => boolean,
): boolean {
  const has = (entry: Entry): boolean => isChosen(entry, id) || lists(entry, id)
  return table.config.models === null && table.entries.some((entry) => accepts(entry) && has(entry))
}

/** The entry of the engine that a request for this name would go to, under the name itself. */
function modelObject(table: RoutingTable, id: string, context: ModelsContext): ModelObject {
  const member = memberOf(table, id)
  const { entry } = member ?? {}
  const means = member?.means ?? id
  const listed = entry && listedAs(entry.spec.engine, entry.facts.models, means)
  const { created, owned_by: owner, ...fields } = listed?.fields ?? {}
  const isOurs = table.config.models !== null || id === DEFAULT_MODEL
  return {
    id,
    object: 'model',
    created: created ?? Math.floor(context.startedWallMs / 1000),
    // A gate in front of this one knows its names by this.
    owned_by: isOurs ? 'gengate' : (owner ?? entry?.spec.engine ?? 'gengate'),
    ...fields,
  }
}

/** The servable upstream that a request for this name would go to: one that has the name itself, where
 *  the name is an engine's own. */
function memberOf(table: RoutingTable, id: string): Member | undefined {
  const own =
    (table.config.models === null && id !== DEFAULT_MODEL && membersForExact(table, id)) || []
  const members = own.length > 0 ? own : (membersFor(table, id) ?? [])
  return members.find(({ entry }) => isServing(entry))
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
