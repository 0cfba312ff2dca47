import type { Evidence } from './health/evidence.ts'
import { ACTIVE_FOR_MS, type Facts, isUsed, NO_FACTS } from './health/facts.ts'
import { judge, type JudgeContext, judgeWorks, type WorkVerdict } from './health/judge.ts'
import { learn } from './health/learn.ts'
import { type HealthPolicy, probeDeadlineMs } from './health/policy.ts'
import { type EvidenceReason, type Reason, REASONS, type State } from './health/reason.ts'
import { idsOf, type OtherWork } from './model/model-choice.ts'
import type { UpstreamSpec } from './upstream.ts'

/** One row of the routing table. */
export interface Entry {
  readonly spec: UpstreamSpec
  /** Changes with the address, the engine or the model: evidence of an older epoch is void. */
  readonly epoch: number
  readonly facts: Facts
  readonly reason: EvidenceReason
  /** How it stands to work other than generation. */
  readonly works: Readonly<Record<OtherWork, WorkVerdict>>
  /** Since when it has this reason, monotonic ms. */
  readonly since: number
  readonly wakeAt: number
  /** When it came back from an ejection; null: it never did. */
  readonly admittedAt: number | null
  readonly ejections: {
    readonly count: number
    readonly lastAt: number
    readonly holdUntil: number
  }
}

/** What everybody shows of an upstream: intent first, then evidence (docs/decisions/0017). An engine
 *  that the gate itself is about to end drains, too. */
export function shownReason({ spec, facts, reason }: Entry): Reason {
  if (spec.intent !== 'enabled') return spec.intent
  return facts.process?.phase === 'draining' ? 'draining' : reason
}

export function stateOf(entry: Entry): State {
  return REASONS[shownReason(entry)].state
}

/** Does it list no model at all, so that there is nothing to load? */
export function isEmpty({ facts }: Entry): boolean {
  return facts.models?.length === 0
}

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
  // Nobody was awake when a verdict was due: what was not seen meanwhile proves nothing.
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
 *  engines, which count as quiet unless clients use them themselves, or traffic elsewhere would pin
 *  their model in memory (docs/decisions/0018). */
export function isActiveAt(table: RoutingTable, { spec, facts }: Entry, nowMs: number): boolean {
  const pinned = spec.quietIntervalMs > table.config.health.quietIntervalMs
  return isActive(table, nowMs) && (!pinned || isUsed(facts, nowMs))
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

const FLAP_WINDOW_MS = 600_000
const HOLD_DOWN_MS_MAX = 300_000
const HOLD_DOWN_MS = 5_000
const PASSES_AFTER_EJECTION = 2

/** One entry's verdict now, with what a verdict alone does not know: hysteresis. */
function advance(was: Entry, ctx: JudgeContext): Entry {
  const { nowMs } = ctx
  const { reason: raw, wakeAt } = judge(was.spec, was.facts, ctx)
  // Nobody would bring the passes that are owed: a try of its own decides (`judge`).
  if (was.spec.probe !== 'active') return turn(was, raw, wakeAt, nowMs)
  const wasState = REASONS[was.reason].state
  if (REASONS[raw].state === 'ejected') {
    if (wasState === 'ejected') return turn(was, raw, wakeAt, nowMs)
    const facts = { ...was.facts, owed: PASSES_AFTER_EJECTION }
    // Only what was serving can flap: an engine that has yet to start owes nothing.
    if (wasState !== 'eligible' && wasState !== 'suspect') {
      return turn({ ...was, facts: { ...facts, owed: 1 } }, raw, wakeAt, nowMs)
    }
    return turn({ ...was, facts, ejections: nextEjection(was, nowMs) }, raw, wakeAt, nowMs)
  }
  const held = nowMs < was.ejections.holdUntil && REASONS[raw].serves !== 'no'
  const out = wasState === 'ejected' && !NOT_ADMITTED.includes(raw)
  if (out && was.facts.owed > 0) return { ...was, wakeAt }
  if (!held || !(out || HELD_BY_WAY_OF.includes(wasState))) return turn(was, raw, wakeAt, nowMs)
  return turn(was, 'hold_down', Math.min(wakeAt, was.ejections.holdUntil), nowMs)
}

/** What an ejected upstream may turn into at once: it gets nothing, or only what loads it. */
const NOT_ADMITTED: readonly EvidenceReason[] = ['model_not_loaded', 'loading', 'sleeping']

/** What it may be between its ejection and its return without an end of its hold-down: a crash loop
 *  loads, and its proof may age while we stand still. Only a cold one is let in. */
const HELD_BY_WAY_OF: readonly State[] = ['starting', 'unknown', 'misconfigured']

function turn(was: Entry, reason: EvidenceReason, wakeAt: number, nowMs: number): Entry {
  if (reason === was.reason) return wakeAt === was.wakeAt ? was : { ...was, wakeAt }
  const back = REASONS[was.reason].state === 'ejected' && REASONS[reason].state === 'eligible'
  return { ...was, reason, wakeAt, since: nowMs, admittedAt: back ? nowMs : was.admittedAt }
}

/** The first ejection has no hold-down; later ones double it up to five minutes. */
function nextEjection(was: Entry, nowMs: number): Entry['ejections'] {
  const flapping = nowMs - was.ejections.lastAt < FLAP_WINDOW_MS
  const count = flapping ? was.ejections.count + 1 : 1
  const holdMs = count === 1 ? 0 : Math.min(HOLD_DOWN_MS * 2 ** (count - 2), HOLD_DOWN_MS_MAX)
  return { count, lastAt: nowMs, holdUntil: nowMs + holdMs }
}
