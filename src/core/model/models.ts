import { lastProofAt, needsStart } from '../health/facts.ts'
import {
  choiceOf,
  type ChoiceWhy,
  idsOf,
  listedAs,
  nameless,
  sameModel,
  type Work,
} from './model-choice.ts'
import type { Entry, RoutingTable } from '../table.ts'

/** The public name of the group that exists when `GENGATE_MODELS` is unset. */
export const DEFAULT_MODEL = 'default'

/** An upstream that can serve a request. */
export interface Member {
  readonly entry: Entry
  /** The model name to write; null: leave the body as is. */
  readonly model: string | null
  /** The model that is asked for there, as far as it has a name. */
  readonly means: string | null
}

/** Does this name leave the choice of the model to the gate? */
export function isNameless(wanted: string | null): wanted is '' | 'default' | null {
  return wanted === null || wanted === '' || wanted === DEFAULT_MODEL
}

/** Choices that configuration or the server itself makes, and not what happens to be in memory. */
const FIRM: readonly (ChoiceWhy | null)[] = ['configured', 'only', 'engine']

/** The one model that stands for this upstream, so that a request for it may go to any other member
 *  of `default`; null: it has several and none stands out. */
function chosenModel(entry: Entry): string | null {
  const { model, why } = choiceOf(entry)
  return FIRM.includes(why) ? model : null
}

/**
 * Which upstreams may serve `wanted`, in order of preference, and under which name each knows it;
 * null: nobody has heard of it. No name or an empty one means the default, for this
 * kind of `work` (docs/decisions/0010).
 */
export function membersFor(
  table: RoutingTable,
  wanted: string | null,
  work: Work = 'generation',
): Member[] | null {
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
  const members = table.entries.flatMap((entry) => {
    if (isNameless(wanted)) return defaultMember(entry, wanted, work) ?? []
    return listingMember(entry, wanted) ?? []
  })
  if (isNameless(wanted)) return members
  // The only embedding model of an upstream stands for no other: vectors of two models do not compare.
  const standsFor = table.entries.some((entry) => isChosen(entry, wanted))
  if (!standsFor) return members.length > 0 ? members : null
  // A name that stands for its upstream may go to any other that stands for `default`.
  return table.entries.flatMap(
    (entry) => listingMember(entry, wanted) ?? defaultMember(entry, wanted, work) ?? [],
  )
}

/**
 * Which upstreams may serve this very model, where none stands for another; without a name all that
 * clients may reach, those of the default first; null: nobody has heard of it.
 */
export function membersForExact(table: RoutingTable, wanted: string | null): Member[] | null {
  const groups = table.config.models
  if (wanted !== null && wanted !== '') {
    if (groups !== null) return membersFor(table, wanted)
    const members = table.entries.flatMap((entry) => listingMember(entry, wanted) ?? [])
    if (members.length > 0) return members
    // Whoever gets it reads that word as it likes; nobody here lists it.
    if (!isNameless(wanted)) return null
  }
  const names = groups?.flatMap(({ members }) => members.map(({ upstream }) => upstream))
  const ordered = names ?? table.entries.map(({ spec }) => spec.name)
  return [...new Set(ordered)].flatMap((name) => {
    const entry = table.entries.find(({ spec }) => spec.name === name)
    return entry === undefined ? [] : [{ entry, model: null, means: null }]
  })
}

/** What a request that leaves the choice to the gate means there; null: nothing. */
function defaultMember(entry: Entry, wanted: string | null, work: Work): Member | null {
  const choice = choiceOf(entry, work)
  if (choice.model !== null) return memberAs(entry, choice.model, wanted)
  const own = nameless(entry.spec, wanted)
  if (choice.why !== null && (own !== null || isNameless(wanted))) {
    return { entry, model: own, means: null }
  }
  return mayKnowAny(entry) ? { entry, model: null, means: null } : null
}

/** It lists the name, or has told no list; null: it does not know the name. */
function listingMember(entry: Entry, wanted: string): Member | null {
  const { spec, facts } = entry
  const listed = listedAs(spec.engine, facts.models, wanted)
  if (listed !== null) return memberAs(entry, listed.id, wanted)
  if (spec.model !== null && sameModel(spec.engine, spec.model, wanted)) {
    return memberAs(entry, spec.model, wanted)
  }
  const loaded = facts.loaded?.find((name) => sameModel(spec.engine, name, wanted))
  if (loaded !== undefined) return memberAs(entry, loaded, wanted)
  return mayKnowAny(entry) ? { entry, model: null, means: wanted } : null
}

/** The body stays as the client wrote it where the engine has a model of exactly that name. */
function memberAs(entry: Entry, model: string, wanted: string | null): Member {
  const { spec, facts } = entry
  const listed = listedAs(spec.engine, facts.models, model)
  const spelled = [model, ...(listed?.aliases ?? []), ...(facts.loaded ?? [])]
  const exact = spelled.some((name) => name === wanted && sameModel(spec.engine, name, model))
  const alias = wanted !== null && listed?.aliases.includes(wanted) === true
  return { entry, model: exact || alias ? null : model, means: model }
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

/** Is this name the one that stands for the upstream? */
export function isChosen(entry: Entry, name: string): boolean {
  const model = chosenModel(entry)
  return model !== null && sameModel(entry.spec.engine, model, name)
}

/** Might it still tell what `default` means there? It may be asked once it has told its models. */
export function isYetToTell({ spec, facts }: Entry): boolean {
  return spec.intent === 'enabled' && spec.model === null && facts.models === null
}

/** Names that a message lists at most; an engine may list hundreds. */
const NAMES_MAX = 20

/** What a client is told of the names that are known. Pure. */
export function knownText(known: readonly string[]): string {
  if (known.length === 0) return 'None is known yet.'
  const more = known.length > NAMES_MAX ? ` and ${known.length - NAMES_MAX} more` : ''
  return `Known: ${known.slice(0, NAMES_MAX).join(', ')}${more}.`
}

/** Every name that a request may use at the upstreams that `accepts` lets through, sorted as
 *  `/v1/models` lists them: `default` where it means something, then members, then discovered names. */
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
  const resolves = entries.some((entry) => defaultMember(entry, null, 'generation') !== null)
  return [...new Set([...(resolves ? [DEFAULT_MODEL] : []), ...chosen, ...discovered])]
}
