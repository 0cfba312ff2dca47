import { endRuleOf, lastDoneAt, lastProofAt, needsStart } from '../core/health/facts.ts'
import { hintOf } from '../core/explain.ts'
import { choiceOf, idsOf, isInMemory, type ListedModel } from '../core/model/model-choice.ts'
import { knownModels } from '../core/model/models.ts'
import { ejectAfterMs, probeDeadlineMs } from '../core/health/policy.ts'
import type { ProcessStatus } from '../core/owned/process.ts'
import { decide, isHalfOpen } from '../core/route.ts'
import { intervalMs, nextProbeAt } from '../core/health/schedule.ts'
import { contextOf, type Entry, type RoutingTable, shownReason, stateOf } from '../core/table.ts'
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

/** `GET /gate/status`: fields are added, never changed (docs/decisions/0022). */
export type StatusDocument = ReturnType<typeof statusOf>

/** The whole truth about one snapshot, for the command line and for people. No key, no userinfo.
 *  Pure. */
export function statusOf(table: RoutingTable, context: StatusContext) {
  const { nowMs, inFlight } = context
  const serving = knownModels(table, () => true).map((model): [string, string | null] => {
    const decision = decide(table, { model, tried: [] }, inFlight, nowMs)
    return [model, decision.kind === 'forward' ? decision.entry.spec.name : null]
  })
  return {
    version: context.version,
    instance: context.instance,
    uptime_s: Math.floor((nowMs - context.startedAtMs) / 1000),
    draining: context.draining,
    /** Does the prober distrust itself now, so that verdicts wait? */
    in_doubt: inDoubt(table, nowMs),
    generation: table.generation,
    /** Public model → the upstream that a request for it would go to now; null: none. */
    // `fromEntries` defines keys instead of setting them: a model may be called `__proto__`.
    serving: Object.fromEntries(serving),
    /** How equals are ordered. */
    policy: table.config.routing,
    /** `GENGATE_MODELS`; null: one group, `default`. With it the document has all that routing
     *  looks at, so that `gengate explain` decides by the same function over the same facts. */
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

/** One upstream of the status document. */
function upstreamOf(table: RoutingTable, entry: Entry, context: StatusContext) {
  const { nowMs, wallMs } = context
  const { spec, facts } = entry
  const { health } = table.config
  const iso: Iso = (at) =>
    at === null || !Number.isFinite(at) ? null : isoTime(wallMs - (nowMs - at))
  const { model, why, loads } = choiceOf(entry)
  return {
    name: spec.name,
    engine: spec.engine,
    // Configuration refuses a URL with a password; the document must not depend on that.
    url: spec.url.replace(/^([a-z]+:\/\/)[^/?#]*@/i, '$1'),
    intent: spec.intent,
    eligible: stateOf(entry) === 'eligible',
    state: stateOf(entry),
    reason: shownReason(entry),
    /** ISO times. */
    since: iso(entry.since),
    hint: hintOf(entry, nowMs),
    /** What the engine said went wrong, in answer to the last probe; null: nothing. */
    said: facts.failure?.said ?? null,
    last_generation_at: iso(lastProofAt(facts)),
    /** How it stands to work other than generation, by its own proof. */
    works: entry.works,
    /** When it was last seen to do that work; null: never. */
    last_done_at: {
      embedding: iso(lastDoneAt(facts, 'embedding')),
      rerank: iso(lastDoneAt(facts, 'rerank')),
    },
    /** Nobody probes it and it refused a request: it is tried by one at a time. */
    half_open: isHalfOpen(entry),
    /** When it came back from its last ejection: at first it gets few requests. */
    admitted_at: iso(entry.admittedAt),
    /** Null: one is under way, or none is sent. */
    // One that is due is sent now, not in the past.
    next_probe_at: iso(Math.max(nextProbeAt(table, entry, nowMs, 0), nowMs)),
    in_flight: context.inFlight(spec.name),
    models: idsOf(facts.models) ?? (spec.model === null ? [] : [spec.model]),
    /** Has it told its models itself? If not, `models` is what the operator chose, or empty. */
    models_listed: facts.models !== null,
    /** The same with what is known of each. */
    model_details: (facts.models ?? []).map((listed) => modelOf(entry, listed)),
    /** Names that it says are in memory, and when it said so; null: it does not tell. */
    loaded: facts.loaded,
    loaded_at: facts.loaded === null ? null : iso(facts.loadedAt),
    /** Models that were seen to generate, and when last; the newest last. */
    proven_models: facts.proven.map((one) => ({ name: one.model, at: iso(one.at) })),
    /** The model that the operator chose for it; null: none. */
    model: spec.model,
    /** Which model a request without one means there, why, and whether it would load it. The name is
     *  null with a `why`: the engine takes a request without a name; without: none is meant. */
    default_model: { name: model, why, loads },
    swaps: spec.swaps,
    probe: spec.probe,
    cold: spec.cold,
    /** It has nothing in memory and loads nothing for a request: `cold` then serves nobody. */
    loads_nothing: facts.loadsNothing,
    /** Null: no cap of the gate's. */
    max_concurrency: spec.maxConcurrency,
    /** What the operator's target comes to for this upstream, ms. */
    derived: {
      probe_deadline_ms: Math.round(probeDeadlineMs(health, facts)),
      eject_after_ms: Math.round(ejectAfterMs(health, facts)),
      interval_ms: Math.round(intervalMs(table, entry, nowMs)),
      /** What ends its streams now: a reason for every choice, or `[DONE]`. */
      stream_end: endRuleOf(spec, facts) === 'finish_reason' ? 'finish_reason' : 'done',
      /** What a probe has to be like to be accepted: `max_completion_tokens, 4 tokens`; null: as usual. */
      probe_form: facts.probeForm,
      /** What its streams have shown; null: none was seen to end, or they are held to a rule. */
      stream_end_seen: facts.streamEnd,
    },
    /** Is it the toy that the gate brings along? */
    embedded: spec.engine === 'embedded',
    /** The process of its engine, where the gate owns it; null: it does not. */
    process: processOf(context.engineOf?.(spec.name) ?? null, entry, iso),
  }
}

/** A model as the upstream lists it. */
function modelOf(entry: Entry, { id, aliases, work, local, sizeBytes, fields }: ListedModel) {
  const owner = fields['owned_by']
  return {
    id,
    aliases,
    /** Null: nothing says what it is for. */
    work,
    local,
    size_bytes: sizeBytes,
    owned_by: typeof owner === 'string' ? owner : null,
    /** Null: the engine does not tell. */
    in_memory: entry.facts.loaded === null ? null : isInMemory(entry, id),
  }
}

/** Monotonic ms as an ISO time. */
type Iso = (at: number | null) => string | null

/** The process of one upstream's engine, as `/gate/status` shows it. Nothing of its command line but
 *  the name of the program, and nothing of its output: both may hold keys. Times are ISO. Null: the
 *  gate does not own the engine. Pure. */
function processOf(status: ProcessStatus | null, { facts }: Entry, iso: Iso) {
  if (status === null) return null
  const { lastEnd: end } = status
  return {
    state: status.state,
    since: iso(status.since),
    pid: status.pid,
    program: status.program,
    on_demand: status.onDemand,
    /** Would, or does, a request wait for its start? */
    start_on_demand: needsStart(facts.process),
    restarts: status.restarts,
    /** Ends in the last hour that count towards the cap of restarts. */
    restarts_last_hour: status.restartsLastHour,
    last_end: end === null ? null : { reason: end.cause, at: iso(end.at), how: end.how },
    next_start_at: iso(status.nextStartAt),
    /** Path of the file with its output, or with that of the process that ended last. */
    log: status.log,
    note: status.note,
  }
}
