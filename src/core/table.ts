import type { Entry } from './health/entry.ts'
import type { Evidence } from './health/evidence.ts'
import { ACTIVE_FOR_MS, isUsed, learn, NO_FACTS } from './health/facts.ts'
import { type JudgeContext, judgeWorks } from './health/judge.ts'
import { idsOf, type OtherWork, type Work } from './model/listed-model.ts'
import { type HealthPolicy, probeDeadlineMs } from './health/policy.ts'
import { advance } from './health/hysteresis.ts'
import { needsStart } from './owned/process.ts'
import { type Reason, REASONS, type Serves, type State } from './health/reason.ts'
import type { UpstreamSpec } from './upstream.ts'
import { isKnownFor } from './health/works.ts'

export type { Entry } from './health/entry.ts'

/** How equals are ordered: by the operator's list, or by what is in flight. */
export type RoutingPolicy = 'priority' | 'least_busy'

/** One public model name and the upstreams that serve it, in order of preference. */
export interface ModelGroup {
  readonly public: string
  readonly members: readonly { readonly upstream: string; readonly model: string }[]
}

/** What the operator configured, as far as routing and health need it. */
export interface TableConfig {
  /** In order of preference. */
  readonly specs: readonly UpstreamSpec[]
  readonly health: HealthPolicy
  readonly routing: RoutingPolicy
  /** `GENGATE_MODELS`; null: one group, `default`. */
  readonly models: readonly ModelGroup[] | null
}

/** The immutable snapshot that both planes share. Replaced whole, never edited. */
export interface RoutingTable {
  /** Counts every change that a reader can see: configuration, intent or reason. */
  readonly generation: number
  readonly config: TableConfig
  readonly entries: readonly Entry[]
  readonly activeSince: number | null
  /** Last client request, or last look at one in flight. */
  readonly activeAt: number | null
  readonly doubtAt: number | null
  /** The next instant at which time alone may change a verdict; `Infinity`: never. */
  readonly wakeAt: number
}

export type TableEvent =
  | { readonly type: 'configured'; readonly at: number; readonly config: TableConfig }
  | {
      readonly type: 'evidence'
      readonly name: string
      readonly epoch: number
      readonly evidence: Evidence
    }
  | { readonly type: 'client_active'; readonly at: number }
  | { readonly type: 'doubt'; readonly at: number }
  | { readonly type: 'tick'; readonly at: number }

/** A verdict that comes later than this after its time was held up by our own machine, ms. */
const MISSED_MS = 250

export function emptyTable(config: TableConfig): RoutingTable {
  return {
    generation: 0,
    config,
    entries: [],
    activeSince: null,
    activeAt: null,
    doubtAt: null,
    wakeAt: Infinity,
  }
}

/** The table after one event. Pure; events that change nothing visible keep the generation. */
export function nextTable(was: RoutingTable, event: TableEvent): RoutingTable {
  const at = event.type === 'evidence' ? event.evidence.at : event.at
  // Nobody was awake when a verdict was due: what was not seen meanwhile proves nothing (D4).
  const table = at - was.wakeAt > MISSED_MS ? { ...was, doubtAt: at } : was
  switch (event.type) {
    case 'configured':
      return settle(reconfigure(table, event.config, event.at), event.at, true)
    case 'evidence':
      return settle(
        {
          ...table,
          entries: table.entries.map((entry) =>
            entry.spec.name === event.name && entry.epoch === event.epoch
              ? { ...entry, facts: learn(entry.facts, event.evidence) }
              : entry,
          ),
        },
        event.evidence.at,
        event.evidence.type === 'process' || isNews(table, event),
      )
    case 'client_active':
      return settle(
        {
          ...table,
          activeAt: event.at,
          activeSince: isActive(table, event.at) ? table.activeSince : event.at,
        },
        event.at,
      )
    case 'doubt':
      return settle({ ...table, doubtAt: event.at }, event.at)
    case 'tick':
      return settle(table, event.at)
  }
}

/** Does it change what a request may be sent there for? Those that wait are to look again. */
function isNews({ entries }: RoutingTable, event: TableEvent & { type: 'evidence' }): boolean {
  const { evidence, name, epoch } = event
  const facts = entries.find((one) => one.spec.name === name && one.epoch === epoch)?.facts
  if (facts === undefined) return false
  if (evidence.type === 'models') return !isSameList(idsOf(facts.models), idsOf(evidence.models))
  return evidence.type === 'loaded' && !isSameList(facts.loaded, evidence.names)
}

function isSameList(one: readonly string[] | null, other: readonly string[] | null): boolean {
  if (one === null || other === null) return one === other
  return one.length === other.length && one.every((name, index) => name === other[index])
}

/** Are clients active? */
export function isActive(table: RoutingTable, nowMs: number): boolean {
  return table.activeAt !== null && nowMs - table.activeAt < ACTIVE_FOR_MS
}

/** Are clients active, as far as this upstream is concerned? A probe renews the keep-alive of some
 *  engines: those count as quiet unless clients use them themselves, or traffic elsewhere would pin
 *  their model in memory (design D11). */
export function isActiveAt(table: RoutingTable, { spec, facts }: Entry, nowMs: number): boolean {
  const pinned = spec.quietIntervalMs > table.config.health.quietIntervalMs
  return isActive(table, nowMs) && (!pinned || isUsed(facts, nowMs))
}

/** What everybody shows of an upstream: intent first, evidence second (design D10). An engine that
 *  the gate itself is about to end drains, too. */
export function shownReason({ spec, facts, reason }: Entry): Reason {
  if (spec.intent !== 'enabled') return spec.intent
  return facts.process?.phase === 'draining' ? 'draining' : reason
}

export function stateOf(entry: Entry): State {
  return REASONS[shownReason(entry)].state
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
const SHUT: ReadonlySet<Reason> = new Set([
  'draining',
  'disabled',
  'refused',
  'unreachable',
  'unauthorized',
])
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
  if (SHUT.has(reason) || needsStart(facts.process)) return own
  if (works[work] === 'proven') return 'first'
  if (works[work] === 'unproven' && own !== 'no') return own
  const tries =
    own !== 'no' || (OF_GENERATION.has(reason) && isKnownFor({ facts, model: spec.model }, work))
  return tries ? 'last' : 'no'
}

/** Does it list no model at all, so that there is nothing to load? */
export function isEmpty({ facts }: Entry): boolean {
  return facts.models?.length === 0
}

/** What `judge` needs beyond the entry itself. */
export function contextOf(table: RoutingTable, nowMs: number): JudgeContext {
  let longestUnaryMs = 0
  for (const { facts } of table.entries) {
    longestUnaryMs = Math.max(longestUnaryMs, facts.longestUnaryMs)
  }
  return {
    nowMs,
    policy: table.config.health,
    activeSince: isActive(table, nowMs) ? table.activeSince : null,
    doubtAt: table.doubtAt,
    allSilent: allSilent(table, nowMs),
    longestUnaryMs,
  }
}

function allSilent(table: RoutingTable, nowMs: number): boolean {
  if (table.entries.length < 2) return false
  const probed = table.entries.filter((e) => e.spec.probe === 'active' && e.facts.passAt !== null)
  return (
    probed.length >= 2 &&
    probed.every(({ facts }) => {
      if (facts.silentFrom === null) return false
      const from = Math.max(facts.silentFrom, facts.progressAt ?? 0)
      return nowMs - from >= probeDeadlineMs(table.config.health, facts)
    })
  )
}

function reconfigure(table: RoutingTable, config: TableConfig, at: number): RoutingTable {
  const entries = config.specs.map((spec): Entry => {
    const old = table.entries.find((entry) => entry.spec.name === spec.name)
    if (old !== undefined && sameTarget(old.spec, spec)) return { ...old, spec }
    const sameServer = old?.spec.url === spec.url && old.spec.engine === spec.engine
    return {
      spec,
      epoch: (old?.epoch ?? table.generation) + 1,
      facts: { ...NO_FACTS, proven: sameServer ? old.facts.proven : [] },
      reason: 'not_probed_yet',
      works: { embedding: 'unproven', rerank: 'unproven' },
      since: at,
      wakeAt: Infinity,
      admittedAt: null,
      ejections: { count: 0, lastAt: at, holdUntil: at },
    }
  })
  return { ...table, config, entries }
}

/** Is this still the server that the evidence is about? */
function sameTarget(a: UpstreamSpec, b: UpstreamSpec): boolean {
  return a.url === b.url && a.engine === b.engine && a.model === b.model && a.probe === b.probe
}

/** Judges every entry at `nowMs` and bumps the generation when a reader can see a difference. */
function settle(table: RoutingTable, nowMs: number, configured = false): RoutingTable {
  const ctx = contextOf(table, nowMs)
  let changed = configured
  let wakeAt = Infinity
  const entries = table.entries.map((entry) => {
    const now = withWorks(advance(entry, ctx), ctx)
    changed ||= now.reason !== entry.reason || now.works !== entry.works
    wakeAt = Math.min(wakeAt, now.wakeAt)
    return now
  })
  return { ...table, entries, generation: table.generation + (changed ? 1 : 0), wakeAt }
}

/** The entry with its verdicts on other work; the same verdicts stay the same value. */
function withWorks(entry: Entry, ctx: JudgeContext): Entry {
  const { works, wakeAt } = judgeWorks(entry.spec, entry.facts, ctx)
  const soonest = Math.min(entry.wakeAt, wakeAt)
  const { embedding, rerank } = entry.works
  const same = works.embedding === embedding && works.rerank === rerank
  if (same && soonest === entry.wakeAt) return entry
  return { ...entry, works: same ? entry.works : works, wakeAt: soonest }
}
