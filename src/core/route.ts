import type { FlightItem } from './health/evidence.ts'
import { awaitsLoad, isKnownFor, needsStart, quietSince } from './health/facts.ts'
import { silenceBudgetMs } from './health/policy.ts'
import { isInMemory, type OtherWork, swapsModels, type Work } from './model/model-choice.ts'
import {
  isNameless,
  isYetToTell,
  knownModels,
  type Member,
  membersFor,
  membersForExact,
} from './model/models.ts'
import { isEvidence, type Reason, REASONS, type Serves, type State } from './health/reason.ts'
import { contextOf, type Entry, isEmpty, type RoutingTable, shownReason, stateOf } from './table.ts'
import type { EngineKind } from './upstream.ts'

/** What routing needs to know of a request. */
export interface RouteRequest {
  /** As the client wrote it; null: absent. */
  readonly model: string | null
  /** Pictures, sound, files: no chat model stands for them, so a name means that model alone, and none
   *  leaves the model to whichever upstream gets it. */
  readonly exact?: boolean
  /** Upstreams that have had their attempt. */
  readonly tried: readonly string[]
  /** Engine kinds that have the route; absent: all. */
  readonly able?: ReadonlySet<EngineKind> | undefined
  /** The one upstream that keeps what the request refers to; absent: any. */
  readonly only?: string | undefined
  /** What the model is to do; null: nothing that anything proves; absent: generate. */
  readonly work?: Work | null | undefined
}

export type RouteDecision =
  | {
      readonly kind: 'forward'
      readonly entry: Entry
      /** The name to write into the body; null: leave the body as it is. */
      readonly model: string | null
      /** The model that is asked for there, as far as it has a name. */
      readonly means: string | null
      readonly serves: Exclude<Serves, 'no'>
    }
  /** Every eligible upstream is at its own cap: wait for a lease to end. */
  | { readonly kind: 'wait_for_slot' }
  /** Nothing can serve now; `starting`: nothing has been judged yet, so it is worth a wait. */
  | { readonly kind: 'hold'; readonly starting: boolean }
  /** Somebody had it and failed, and nobody else is left. */
  | { readonly kind: 'exhausted' }
  | { readonly kind: 'unknown_model'; readonly known: readonly string[] }
  /** It names no model, and no upstream has one that it could mean. */
  | { readonly kind: 'model_required'; readonly known: readonly string[] }
  /** No configured upstream that knows the model has the route, or is the one that must be asked. */
  | { readonly kind: 'no_route' }

const ORDER: readonly Exclude<Serves, 'no'>[] = ['first', 'on_demand', 'last']

/**
 * Where a request goes, over one snapshot: eligible, then cold on demand, then suspect
 * (docs/decisions/0014).
 * Pure: it cannot wait, log or fail. `inFlight` counts the leases an upstream has now; without
 * `nowMs` nobody counts as just come back.
 */
export function decide(
  table: RoutingTable,
  request: RouteRequest,
  inFlight: (name: string) => number,
  nowMs: number = Infinity,
): RouteDecision {
  const members = membersOf(table, request)
  if (members === null) {
    const yet = yetToList(table)
    if (yet.length > 0) return { kind: 'hold', starting: yet.some(isAboutToList) }
    return { kind: 'unknown_model', known: knownModels(table, () => true) }
  }
  if (members.length === 0 && needsName(table, request.model)) {
    return { kind: 'model_required', known: knownModels(table, () => true) }
  }
  const able = members.filter(({ entry }) => mayServe(entry, request))
  if (able.length === 0 && members.length > 0) return { kind: 'no_route' }
  // Equals are in the operator's order already.
  const precedes = (one: Member, other: Member): boolean =>
    table.config.routing === 'least_busy' &&
    inFlight(one.entry.spec.name) < inFlight(other.entry.spec.name)
  const left = able.filter(({ entry }) => !request.tried.includes(entry.spec.name))
  for (const serves of ORDER) {
    let some = false
    let free: Member | null = null
    // One that has just come back is not flooded while another can serve, too.
    let warm: Member | null = null
    for (const member of left) {
      if (servesFor(member, request.work) !== serves) continue
      some = true
      const count = inFlight(member.entry.spec.name)
      if (!hasRoom(member.entry, count)) continue
      if (free === null || precedes(member, free)) free = member
      if (count >= warmCap(member.entry, nowMs)) continue
      if (warm === null || precedes(member, warm)) warm = member
    }
    const picked = warm ?? free
    if (picked !== null) {
      return { kind: 'forward', ...picked, serves }
    }
    if (some && serves === 'first') return { kind: 'wait_for_slot' }
  }
  if (request.tried.length > 0) return { kind: 'exhausted' }
  if (left.some((member) => servesFor(member, request.work) !== 'no'))
    return { kind: 'wait_for_slot' }
  // Without members nobody has told a model yet: then the whole table says whether it starts.
  const asked = able.length > 0 ? able.map(({ entry }) => entry) : table.entries
  return { kind: 'hold', starting: isStarting(asked) }
}

/** When a request for this model and work may be sent there. At an upstream that swaps models, one that
 *  is not in memory is cold whatever the upstream as a whole is, and one that is in memory is not. */
export function servesFor(
  { entry, means }: Pick<Member, 'entry' | 'means'>,
  work?: Work | null,
): Serves {
  const serves = servesOf(entry, work)
  // Where nobody probes, nobody asks what is in memory either.
  if (means === null || entry.spec.probe !== 'active' || !swapsModels(entry)) return serves
  if (isInMemory(entry, means)) {
    return serves === 'no' && stateOf(entry) === 'cold' ? 'on_demand' : serves
  }
  if (serves === 'no' || entry.spec.cold === 'never') return 'no'
  return serves === 'first' ? 'on_demand' : serves
}

/**
 * Upstreams that may list a name which nobody knows now: those that are up and have told no list yet; all
 * that may come, if no name is known at all, since a 404 would be wrong while an engine starts. None where
 * `GENGATE_MODELS` says what there is. Pure.
 */
export function yetToList({ config, entries }: RoutingTable): readonly Entry[] {
  if (config.models !== null) return []
  const enabled = entries.filter(({ spec }) => spec.intent === 'enabled')
  const up = enabled.filter((entry) => isAboutToList(entry) || isUntoldAs(entry, LOADING))
  const named = enabled.some(({ spec, facts }) => spec.model !== null || facts.models !== null)
  return named || up.length > 0 ? up : enabled
}

/** One that serves has had its time. */
const SOON: readonly State[] = ['unknown', 'cold', 'suspect']
/** It may take minutes. */
const LOADING: readonly State[] = ['starting']

function isAboutToList(entry: Entry): boolean {
  return isUntoldAs(entry, SOON)
}

function isUntoldAs(entry: Entry, states: readonly State[]): boolean {
  return entry.facts.models === null && states.includes(stateOf(entry))
}

/** Have all told their models, and none that a request without a name could mean? */
function needsName({ config, entries }: RoutingTable, wanted: string | null): boolean {
  if (config.models !== null || !isNameless(wanted) || entries.some(isYetToTell)) return false
  return entries.some(({ spec, facts }) => spec.intent === 'enabled' && facts.models !== null)
}

/** Servable = something is eligible, cold on demand, or suspect (docs/decisions/0014). */
export function isServable(table: RoutingTable): boolean {
  return table.entries.some((entry) => servesOf(entry) !== 'no')
}

/** Is nothing refuted yet: every enabled upstream still waits for its first verdict? */
export function isStarting(entries: readonly Entry[]): boolean {
  const enabled = entries.filter((entry) => entry.spec.intent === 'enabled')
  return enabled.length > 0 && enabled.every((entry) => entry.reason === 'not_probed_yet')
}

/**
 * May a request that waits for its first content at `name` leave it for another? Only when that
 * upstream no longer serves first, another one that was not tried is eligible, and the silence
 * exceeds what the size of the request, or the load that it waits for, allows; never for the only
 * servable upstream.
 */
export function mayAbandon(
  table: RoutingTable,
  name: string,
  what: { readonly request: RouteRequest; readonly item: FlightItem; readonly nowMs: number },
): boolean {
  const { request, item, nowMs } = what
  const entry = table.entries.find((candidate) => candidate.spec.name === name)
  if (entry === undefined) return false
  // A load has a bound of its own: beyond it whoever can serve may have the request.
  const loads = awaitsLoad(entry.facts, item)
  if (!loads && servesOf(entry, request.work) === 'first') return false
  const others = membersOf(table, request) ?? []
  const eligible = others.some(
    (member) =>
      member.entry.spec.name !== name &&
      !request.tried.includes(member.entry.spec.name) &&
      mayServe(member.entry, request) &&
      (loads
        ? servesFor(member, request.work) !== 'no'
        : servesFor(member, request.work) === 'first'),
  )
  if (!eligible) return false
  return (
    nowMs - quietSince({ ...item, contentAt: null }) >
    silenceBudgetMs(entry.facts, item, contextOf(table, nowMs), request.work)
  )
}

/** What only refers to something kept, on a route without a row in the lanes, names no model. */
export function membersOf(table: RoutingTable, request: RouteRequest): Member[] | null {
  const { model, only, able, work, exact } = request
  if (exact === true) return membersForExact(table, model)
  if (only === undefined || able !== undefined) {
    return membersFor(table, model, work ?? 'generation')
  }
  return table.entries.map((entry): Member => ({ entry, model: null, means: null }))
}

/** Has it the route, and is it the one that must be asked? */
function mayServe({ spec }: Entry, { able, only }: RouteRequest): boolean {
  return (able?.has(spec.engine) ?? true) && (only === undefined || only === spec.name)
}

/** How many requests an upstream gets at once while it warms up after an ejection: one more every
 *  second for ten seconds (Envoy's slow start, in requests instead of weights). */
function warmCap({ admittedAt }: Entry, nowMs: number): number {
  const since = admittedAt === null ? Infinity : nowMs - admittedAt
  return since >= WARM_MS ? Infinity : 1 + Math.floor(since / 1_000)
}
const WARM_MS = 10_000

function hasRoom(entry: Entry, count: number): boolean {
  const { spec } = entry
  if (isHalfOpen(entry) && count > 0) return false
  return spec.maxConcurrency === null || count < spec.maxConcurrency
}

/** Has an upstream that nobody probes refused a request, so that one at a time may try it again? */
export function isHalfOpen({ spec, facts, reason }: Entry): boolean {
  return spec.probe !== 'active' && facts.failure !== null && reason === 'live_failure'
}

/**
 * When a request for this kind of work may be sent there; null: for none that anything proves. An
 * unproven upstream that nobody probes serves last, a cold one not at all where the operator said
 * `never`; one that was started for a request, as if cold.
 */
export function servesOf(entry: Entry, work: Work | null = 'generation'): Serves {
  const own = servesGeneration(entry)
  if (work === 'generation') return own
  if (work !== null) return servesOther(entry, work, own)
  if (own !== 'no') return own
  // What still does other work is up: better than nobody.
  return OTHER_WORKS.some((other) => servesOther(entry, other, own) !== 'no') ? 'last' : 'no'
}

function servesGeneration(entry: Entry): Serves {
  const { serves, state } = REASONS[shownReason(entry)]
  if (state === 'unknown' && entry.spec.probe === 'passive') return 'last'
  const nothing = entry.facts.loadsNothing || isEmpty(entry)
  if (state === 'cold' && (entry.spec.cold === 'never' || nothing)) return 'no'
  if (state === 'starting' && needsStart(entry.facts.process)) return 'on_demand'
  return serves
}

const OTHER_WORKS: readonly OtherWork[] = ['embedding', 'rerank']
/** Nothing is served there, whatever has been proven. */
const SHUT: ReadonlySet<Reason> = new Set(['refused', 'unreachable', 'unauthorized'])
/** Reasons that speak of generation alone, so that other work may be tried all the same. */
const OF_GENERATION: ReadonlySet<Reason> = new Set([
  'stale',
  'wedged',
  'http_5xx',
  'invalid_response',
  'truncated',
  'hold_down',
  'model_not_found',
  'bad_request',
  'wrong_kind',
])

function servesOther(entry: Entry, work: OtherWork, own: Serves): Serves {
  const { facts, spec, works } = entry
  const reason = shownReason(entry)
  if (SHUT.has(reason) || !isEvidence(reason) || needsStart(facts.process)) return own
  if (works[work] === 'proven') return 'first'
  if (works[work] === 'unproven' && own !== 'no') return own
  const tries =
    own !== 'no' || (OF_GENERATION.has(reason) && isKnownFor({ facts, model: spec.model }, work))
  return tries ? 'last' : 'no'
}
