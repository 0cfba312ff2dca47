import type { EndSign } from '../core/health/evidence.ts'
import { endRuleOf, lastDoneAt, lastProofAt, needsStart } from '../core/health/facts.ts'
import { hintOf } from '../core/explain.ts'
import {
  choiceOf,
  type ChoiceWhy,
  idsOf,
  isInMemory,
  type ListedModel,
  type OtherWork,
} from '../core/model/model-choice.ts'
import { knownModels } from '../core/model/models.ts'
import { ejectAfterMs, probeDeadlineMs } from '../core/health/policy.ts'
import type { ProcessStatus } from '../core/owned/process.ts'
import { decide, isHalfOpen } from '../core/route.ts'
import { intervalMs, nextProbeAt } from '../core/health/schedule.ts'
import { contextOf, type ModelGroup, type RoutingPolicy, type RoutingTable } from '../core/table.ts'
import { type Entry, shownReason, stateOf } from '../core/entry.ts'
import type { ColdPolicy, ProbeMode, SwapPolicy } from '../core/upstream.ts'
import type { WorkVerdict } from '../core/health/judge.ts'
import { isoTime } from '../runtime/clock.ts'

/** What became of the last reading of the configuration. */
export interface ConfigState {
  readonly ok: boolean
  /** Why the last reading was refused; null: it was not. */
  readonly error: string | null
  /** Names that the env file sets but the process environment overrides. */
  readonly shadowed: readonly string[]
}

/** What the table cannot know. Monotonic ms where not said otherwise. */
export interface StatusContext {
  readonly nowMs: number
  readonly wallMs: number
  readonly startedAtMs: number
  readonly inFlight: (name: string) => number
  /** Absent: the gate owns no engine. */
  readonly engineOf?: (name: string) => ProcessStatus | null
  readonly version: string
  /** The id of this process in `Via`. */
  readonly instance: string
  readonly configState: ConfigState
  readonly draining: boolean
}

/** One upstream of the status document. */
export interface UpstreamDocument {
  readonly name: string
  readonly engine: string
  readonly url: string
  readonly intent: string
  readonly eligible: boolean
  readonly state: string
  readonly reason: string
  /** ISO times. */
  readonly since: string
  readonly hint: string
  /** What the engine said went wrong, in answer to the last probe; null: nothing. */
  readonly said: string | null
  readonly last_generation_at: string | null
  /** How it stands to work other than generation, by its own proof. */
  readonly works: Readonly<Record<OtherWork, WorkVerdict>>
  /** When it was last seen to do that work; null: never. */
  readonly last_done_at: Readonly<Record<OtherWork, string | null>>
  /** Nobody probes it and it refused a request: it is tried by one at a time. */
  readonly half_open: boolean
  /** When it came back from its last ejection: at first it gets few requests. */
  readonly admitted_at: string | null
  /** Null: one is under way, or none is sent. */
  readonly next_probe_at: string | null
  readonly in_flight: number
  readonly models: readonly string[]
  /** Has it told its models itself? If not, `models` is what the operator chose, or empty. */
  readonly models_listed: boolean
  /** The same with what is known of each. */
  readonly model_details: readonly ModelDocument[]
  /** Names that it says are in memory, and when it said so; null: it does not tell. */
  readonly loaded: readonly string[] | null
  readonly loaded_at: string | null
  /** Models that were seen to generate, and when last; the newest last. */
  readonly proven_models: readonly { readonly name: string; readonly at: string | null }[]
  /** The model that the operator chose for it; null: none. */
  readonly model: string | null
  /** What a request without a model means there. */
  readonly default_model: ChoiceDocument
  readonly swaps: SwapPolicy
  readonly probe: ProbeMode
  readonly cold: ColdPolicy
  /** It has nothing in memory and loads nothing for a request: `cold` then serves nobody. */
  readonly loads_nothing: boolean
  /** Null: no cap of the gate's. */
  readonly max_concurrency: number | null
  /** What the operator's target comes to for this upstream, ms. */
  readonly derived: {
    readonly probe_deadline_ms: number
    readonly eject_after_ms: number
    readonly interval_ms: number
    /** What ends its streams now: a reason for every choice, or `[DONE]`. */
    readonly stream_end: EndSign
    /** What a probe has to be like to be accepted: `max_completion_tokens, 4 tokens`; null: as usual. */
    readonly probe_form: string | null
    /** What its streams have shown; null: none was seen to end, or they are held to a rule. */
    readonly stream_end_seen: EndSign | null
  }
  /** Is it the toy that the gate brings along? */
  readonly embedded: boolean
  /** The process of its engine, where the gate owns it; null: it does not. */
  readonly process: ProcessDocument | null
}

/** The process of one upstream's engine, as `/gate/status` shows it. Nothing of its command line but
 *  the name of the program, and nothing of its output: both may hold keys. Times are ISO. */
export interface ProcessDocument {
  readonly state: string
  readonly since: string | null
  readonly pid: number | null
  readonly program: string
  readonly on_demand: boolean
  /** Would, or does, a request wait for its start? */
  readonly start_on_demand: boolean
  readonly restarts: number
  /** Ends in the last hour that count towards the cap of restarts. */
  readonly restarts_last_hour: number
  readonly last_end: {
    readonly reason: string
    readonly at: string | null
    readonly how: string
  } | null
  readonly next_start_at: string | null
  /** Path of the file with its output, or with that of the process that ended last. */
  readonly log: string | null
  readonly note: string
}

/** A model as the upstream lists it. */
export interface ModelDocument {
  readonly id: string
  readonly aliases: readonly string[]
  /** Null: nothing says what it is for. */
  readonly work: string | null
  readonly local: boolean
  readonly size_bytes: number | null
  readonly owned_by: string | null
  /** Null: the engine does not tell. */
  readonly in_memory: boolean | null
}

/** Which model is meant, why, and whether a request would load it. */
export interface ChoiceDocument {
  /** Null with a `why`: the engine takes a request without a name; without: none is meant. */
  readonly name: string | null
  readonly why: ChoiceWhy | null
  readonly loads: boolean
}

/** `GET /gate/status`: fields are added, never changed (docs/decisions/0022). */
export interface StatusDocument {
  readonly version: string
  readonly instance: string
  readonly uptime_s: number
  readonly draining: boolean
  /** Does the prober distrust itself now, so that verdicts wait? */
  readonly in_doubt: boolean
  readonly generation: number
  /** Public model → the upstream that a request for it would go to now; null: none. */
  readonly serving: Readonly<Record<string, string | null>>
  /** How equals are ordered. */
  readonly policy: RoutingPolicy
  /** `GENGATE_MODELS`; null: one group, `default`. With it the document has all that routing
   *  looks at, so that `gengate explain` decides by the same function over the same facts. */
  readonly groups: readonly ModelGroup[] | null
  readonly config: ConfigState
  readonly upstreams: readonly UpstreamDocument[]
}

/** The whole truth about one snapshot, for the command line and for people. No key, no userinfo.
 *  Pure. */
export function statusOf(table: RoutingTable, context: StatusContext): StatusDocument {
  const { nowMs } = context
  return {
    version: context.version,
    instance: context.instance,
    uptime_s: Math.floor((nowMs - context.startedAtMs) / 1000),
    draining: context.draining,
    in_doubt: inDoubt(table, nowMs),
    generation: table.generation,
    serving: servingOf(table, context),
    policy: table.config.routing,
    groups: table.config.models,
    config: context.configState,
    upstreams: table.entries.map((entry) => upstreamOf(table, entry, context)),
  }
}

/** Verdicts start over after a doubt about ourselves; this is how long that can matter. */
function inDoubt(table: RoutingTable, nowMs: number): boolean {
  const { doubtAt, allSilent, policy } = contextOf(table, nowMs)
  return allSilent || (doubtAt !== null && nowMs - doubtAt < policy.detectWithinMs)
}

function servingOf(
  table: RoutingTable,
  { inFlight, nowMs }: StatusContext,
): Record<string, string | null> {
  // `fromEntries` defines keys instead of setting them: a model may be called `__proto__`.
  return Object.fromEntries(
    knownModels(table, () => true).map((model) => {
      const decision = decide(table, { model, tried: [] }, inFlight, nowMs)
      return [model, decision.kind === 'forward' ? decision.entry.spec.name : null]
    }),
  )
}

function upstreamOf(table: RoutingTable, entry: Entry, context: StatusContext): UpstreamDocument {
  const { nowMs, wallMs } = context
  const { spec, facts } = entry
  const { health } = table.config
  const iso = (at: number | null): string | null =>
    at === null || !Number.isFinite(at) ? null : isoTime(wallMs - (nowMs - at))
  const probeAt = nextProbeAt(table, entry, nowMs, 0)
  return {
    name: spec.name,
    engine: spec.engine,
    url: withoutUserinfo(spec.url),
    intent: spec.intent,
    eligible: stateOf(entry) === 'eligible',
    state: stateOf(entry),
    reason: shownReason(entry),
    since: isoTime(wallMs - (nowMs - entry.since)),
    hint: hintOf(entry, nowMs),
    said: entry.facts.failure?.said ?? null,
    last_generation_at: iso(lastProofAt(facts)),
    works: entry.works,
    last_done_at: {
      embedding: iso(lastDoneAt(facts, 'embedding')),
      rerank: iso(lastDoneAt(facts, 'rerank')),
    },
    half_open: isHalfOpen(entry),
    admitted_at: iso(entry.admittedAt),
    // One that is due is sent now, not in the past.
    next_probe_at: iso(Math.max(probeAt, nowMs)),
    in_flight: context.inFlight(spec.name),
    models: idsOf(facts.models) ?? (spec.model === null ? [] : [spec.model]),
    models_listed: facts.models !== null,
    model_details: (facts.models ?? []).map((model) => modelOf(entry, model)),
    loaded: facts.loaded,
    loaded_at: facts.loaded === null ? null : iso(facts.loadedAt),
    proven_models: facts.proven.map(({ model, at }) => ({ name: model, at: iso(at) })),
    model: spec.model,
    default_model: defaultOf(entry),
    swaps: spec.swaps,
    probe: spec.probe,
    cold: spec.cold,
    loads_nothing: facts.loadsNothing,
    max_concurrency: spec.maxConcurrency,
    derived: {
      probe_deadline_ms: Math.round(probeDeadlineMs(health, facts)),
      eject_after_ms: Math.round(ejectAfterMs(health, facts)),
      interval_ms: Math.round(intervalMs(table, entry, nowMs)),
      stream_end: endRuleOf(spec, facts) === 'finish_reason' ? 'finish_reason' : 'done',
      probe_form: facts.probeForm,
      stream_end_seen: facts.streamEnd,
    },
    embedded: spec.engine === 'embedded',
    process: processOf(context.engineOf?.(spec.name) ?? null, entry, iso),
  }
}

function modelOf(entry: Entry, { id, aliases, work, local, ...more }: ListedModel): ModelDocument {
  const owner = more.fields['owned_by']
  return {
    id,
    aliases,
    work,
    local,
    size_bytes: more.sizeBytes,
    owned_by: typeof owner === 'string' ? owner : null,
    in_memory: entry.facts.loaded === null ? null : isInMemory(entry, id),
  }
}

function defaultOf(entry: Entry): ChoiceDocument {
  const { model, why, loads } = choiceOf(entry)
  return { name: model, why, loads }
}

/** Null: the gate does not own the engine. Pure. */
function processOf(
  status: ProcessStatus | null,
  { facts }: Entry,
  iso: (at: number | null) => string | null,
): ProcessDocument | null {
  if (status === null) return null
  const { lastEnd } = status
  return {
    state: status.state,
    since: iso(status.since),
    pid: status.pid,
    program: status.program,
    on_demand: status.onDemand,
    start_on_demand: needsStart(facts.process),
    restarts: status.restarts,
    restarts_last_hour: status.restartsLastHour,
    last_end:
      lastEnd === null ? null : { reason: lastEnd.cause, at: iso(lastEnd.at), how: lastEnd.how },
    next_start_at: iso(status.nextStartAt),
    log: status.log,
    note: status.note,
  }
}

/** Configuration refuses a URL with a password; the document must not depend on that. */
function withoutUserinfo(url: string): string {
  return url.replace(/^([a-z]+:\/\/)[^/?#]*@/i, '$1')
}
