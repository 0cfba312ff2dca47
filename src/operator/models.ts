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
import { isServable, isStarting, servesOf, yetToList } from '../core/route.ts'
import type { Entry, RoutingTable } from '../core/table.ts'
import { type Answer, errorAnswer, plainAnswer } from '../errors/answer.ts'

export interface ModelsContext {
  readonly requestId: string
  readonly nowMs: number
  /** Start of this process on the wall clock, ms: the one honest `created` a gate has. */
  readonly startedWallMs: number
}

/**
 * `GET /v1/models`, from the table alone. 503 when nothing is servable: clients exist that take
 * this call for a health check. Pure.
 */
export function modelsAnswer(table: RoutingTable, context: ModelsContext): Answer {
  if (!isServable(table)) return unservable(table, context)
  const data = knownModels(table, isServing).map((id) => modelObject(table, id, context))
  return json({ object: 'list', data }, context)
}

/** `GET /v1/models/{id}`; `id` decoded, slashes and all. A name that an engine takes for one of its
 *  models is known, too. Pure. */
export function modelAnswer(table: RoutingTable, id: string, context: ModelsContext): Answer {
  const others = table.config.models === null ? table.entries : []
  const another = others.filter((entry) => isChosen(entry, id) || lists(entry, id))
  const isKnown = (accepts: (entry: Entry) => boolean): boolean =>
    knownModels(table, accepts).includes(id) || another.some(accepts)
  if (isKnown(isServing)) return json(modelObject(table, id, context), context)
  if (isKnown(() => true) || yetToList(table).length > 0) return unservable(table, context)
  return errorAnswer('model_not_found', {
    requestId: context.requestId,
    detail: knownText(knownModels(table, () => true)),
    param: 'model',
  })
}

function isServing(entry: Entry): boolean {
  return servesOf(entry) !== 'no'
}

/** The entry of the engine that a request for this name would go to, under the name itself: as OpenAI
 *  has it, and whatever else the engine says of its model. */
function modelObject(table: RoutingTable, id: string, context: ModelsContext): object {
  const { entry, means } = memberOf(table, id) ?? {}
  const listed = entry && listedAs(entry.spec.engine, entry.facts.models, means ?? id)
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
  const isOwn = table.config.models === null && id !== DEFAULT_MODEL
  const own = isOwn ? membersForExact(table, id) : null
  const members = own === null || own.length === 0 ? membersFor(table, id) : own
  return members?.find(({ entry }) => isServing(entry))
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
