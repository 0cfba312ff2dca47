import { lastProofAt } from './facts.ts'
import { idsOf } from './listed-model.ts'
import { listedAs, sameModel } from './model-name.ts'
import { needsStart } from './process.ts'
import type { Entry, RoutingTable } from './table.ts'

/** The public name of the group that exists when `GENGATE_MODELS` is unset. */
export const DEFAULT_MODEL = 'default'

/** An upstream that can serve a request, and the model name to write; null: leave the body as is. */
export interface Member {
  readonly entry: Entry
  readonly model: string | null
}

/** The one model that stands for this upstream: the operator's, or the only one it serves. */
export function chosenModel({ spec, facts }: Entry): string | null {
  if (spec.model !== null) return spec.model
  return facts.models?.length === 1 ? (facts.models[0]?.id ?? null) : null
}

/**
 * Which upstreams may serve `wanted`, in order of preference, and under which name each knows it;
 * null: nobody has heard of it. An absent or empty name means the default (design §8).
 */
export function membersFor(table: RoutingTable, wanted: string | null): Member[] | null {
  const groups = table.config.models
  if (groups !== null) {
    const name = wanted === null || wanted === '' ? groups[0]?.public : wanted
    const group = groups.find((candidate) => candidate.public === name)
    if (group === undefined) return null
    return group.members.flatMap(({ upstream, model }) => {
      const entry = table.entries.find((candidate) => candidate.spec.name === upstream)
      return entry === undefined ? [] : [memberAs(entry, model, wanted)]
    })
  }
  return membersOfDefault(table, wanted) ?? membersByListing(table, wanted)
}

/**
 * Which upstreams may serve this very model, where none stands for another; without a name all that
 * clients may reach, those of the default first; null: nobody has heard of it.
 */
export function membersForExact(table: RoutingTable, wanted: string | null): Member[] | null {
  const groups = table.config.models
  if (wanted !== null && wanted !== '') {
    return groups === null ? membersByListing(table, wanted) : membersFor(table, wanted)
  }
  const names = groups?.flatMap(({ members }) => members.map(({ upstream }) => upstream))
  const ordered = names ?? table.entries.map(({ spec }) => spec.name)
  return [...new Set(ordered)].flatMap((name) => {
    const entry = table.entries.find(({ spec }) => spec.name === name)
    return entry === undefined ? [] : [{ entry, model: null }]
  })
}

/** Members of `default`, when that is what the request asks for. */
function membersOfDefault(table: RoutingTable, wanted: string | null): Member[] | null {
  const any = wanted === null || wanted === '' || wanted === DEFAULT_MODEL
  if (!any && !table.entries.some((entry) => isChosen(entry, wanted))) return null
  return table.entries.flatMap((entry) => {
    const model = chosenModel(entry)
    if (model !== null) return [memberAs(entry, model, wanted)]
    const listsIt = wanted !== null && lists(entry, wanted)
    return listsIt || mayKnowAny(entry) ? [{ entry, model: null }] : []
  })
}

/** It generates, or would if it were started, but never told its models: it may know any name, so ask
 *  it as the client wrote. */
function mayKnowAny({ spec, facts }: Entry): boolean {
  if (spec.model !== null || facts.models !== null) return false
  if (needsStart(facts.process)) return true
  return lastProofAt(facts) !== null || spec.probe !== 'active'
}

/** Does it list this name, or one that its engine takes as equal? */
export function lists({ spec, facts }: Entry, name: string): boolean {
  return listedAs(spec.engine, facts.models, name) !== null
}

/** The body stays as the client wrote it where the engine takes that name for this model. */
function memberAs(entry: Entry, model: string, wanted: string | null): Member {
  const same = wanted !== null && sameModel(entry.spec.engine, model, wanted)
  return { entry, model: same ? null : model }
}

/** Is this name the one that stands for the upstream? */
export function isChosen(entry: Entry, name: string): boolean {
  const model = chosenModel(entry)
  return model !== null && sameModel(entry.spec.engine, model, name)
}

/** Upstreams that know the name themselves, or that list nothing at all. */
function membersByListing(table: RoutingTable, wanted: string | null): Member[] | null {
  if (wanted === null) return null
  const members = table.entries
    .filter((entry) => lists(entry, wanted) || isChosen(entry, wanted) || mayKnowAny(entry))
    .map((entry): Member => ({ entry, model: null }))
  return members.length > 0 ? members : null
}

/** Every name that a request may use at the upstreams that `accepts` lets through, sorted as
 *  `/v1/models` lists them: `default`, then members, then discovered names. */
export function knownModels(table: RoutingTable, accepts: (entry: Entry) => boolean): string[] {
  const entries = table.entries.filter(accepts)
  const groups = table.config.models
  if (groups !== null) {
    const names = new Set(entries.map((entry) => entry.spec.name))
    return groups
      .filter((group) => group.members.some((member) => names.has(member.upstream)))
      .map((group) => group.public)
  }
  const chosen = entries.flatMap((entry) => chosenModel(entry) ?? [])
  const discovered = entries.flatMap((entry) => idsOf(entry.facts.models) ?? [])
  const any = entries.length > 0 ? [DEFAULT_MODEL] : []
  return [...new Set([...any, ...chosen, ...discovered])]
}
