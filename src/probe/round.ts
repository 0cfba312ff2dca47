import { idsOf, type Proven } from '../core/model/model-choice.ts'
import type { ProbeOutcome } from '../core/health/evidence.ts'
import type { EngineKind, SwapPolicy } from '../core/upstream.ts'
import { USUAL_FORM } from '../engines/probe-request.ts'
import { type ProbeKind, workOf } from '../api/index.ts'
import type { Quirks } from '../engines/quirks.ts'
import type { Clock } from '../runtime/clock.ts'
import { chooseModel, Listing, type ProbeChoice } from './listing.ts'
import {
  type Asking,
  generate,
  type Generated,
  type Habit,
  isRefusedKind,
  reasonOf,
  runProbe,
  type Wire,
} from './generate.ts'
import { sleeps, untilRoom, watchSleep, watchWork } from './room.ts'
import { ofBreak, ofStatus } from './verdict.ts'
import { fetchJson, type Target } from './wire.ts'
import { quirksOf } from '../engines/index.ts'

/** What one round remembers for the next one about the same server. */
export interface Memory extends Habit {
  /** The model that was probed while it was in memory. */
  readonly lastLoaded: string | null
  /** It was asked what is in memory and cannot tell (llama.cpp with one model). */
  readonly cannotTell: boolean
  /** It said last that it sleeps: it is asked that before anything else. */
  readonly asleep: boolean
  /** A probe was given up there, and nothing has answered since: it may still stand in a queue. */
  readonly owed: boolean
}

export const NO_MEMORY: Memory = {
  kind: null,
  lastLoaded: null,
  cannotTell: false,
  owed: false,
  form: USUAL_FORM,
  asleep: false,
}

/** One round of probing one upstream. */
export interface Round extends Asking {
  /** The operator's choice of model; null: discovered. */
  readonly model: string | null
  /** May a plain upstream swap models? */
  readonly swaps: SwapPolicy
  /** Models that were seen to generate. */
  readonly proven: readonly Proven[]
  readonly listing: Listing
  /** Called with what it says is in memory; null: it does not tell. */
  readonly onLoaded: (names: readonly string[] | null) => void
}

export interface RoundResult {
  readonly outcome: ProbeOutcome
  readonly memory: Memory
  /** The name that was asked for; null: none. */
  readonly model: string | null
  /** What it said is in memory, where the outcome follows from that: both become known at once. */
  readonly loaded?: readonly string[] | null | undefined
}

/** What an engine said about its memory. */
type Told =
  | { readonly kind: 'told'; readonly names: readonly string[] }
  /** `lasting`: asking again would not help. */
  | { readonly kind: 'cannot_tell'; readonly lasting: boolean }
  | { readonly kind: 'silent' }
  /** The answer already decides: nothing listens there, it is loading, it refuses our key. */
  | { readonly kind: 'decides'; readonly outcome: ProbeOutcome }

/**
 * One round: what is in memory, then which model, then one generation. Never rejects as long as
 * the wire does not.
 */
export async function runRound(round: Round, was: Memory): Promise<RoundResult> {
  const result = await askedRound(round, was)
  return { ...result, outcome: withoutKey(result.outcome, round.target.apiKey) }
}

/** Longest sentence of an engine that is kept, UTF-16 units: enough to act on. */
const SAID_MAX = 200

/** Engines repeat a key that they refuse. Half of one that was clipped would stay. */
function withoutKey(outcome: ProbeOutcome, key: string | null): ProbeOutcome {
  if (outcome.kind !== 'fail' || outcome.said === undefined) return outcome
  const said = key === null ? outcome.said : outcome.said.replaceAll(key, '(our key)')
  return { ...outcome, said: said.slice(0, SAID_MAX) }
}

async function askedRound(round: Round, was: Memory): Promise<RoundResult> {
  if (was.asleep && (await sleeps(round))) return { outcome: ASLEEP, memory: was, model: null }
  const told = await askLoaded(round, was)
  if (told.kind === 'decides') return { outcome: told.outcome, memory: was, model: null }
  // In parallel with the generation: a silent list must not delay the probe that tells a wedge.
  const listed = round.listing.refresh(query(round))
  if (needsList(round, told)) await listed
  const choice = choiceOf(round, told, was)
  const memory: Memory = {
    ...was,
    cannotTell: told.kind === 'cannot_tell' && told.lasting,
    lastLoaded: told.kind === 'told' && choice.kind === 'probe' ? choice.model : was.lastLoaded,
  }
  if (choice.kind !== 'probe') {
    const outcome = choice.kind === 'cold' ? COLD : await lookAround(round)
    return { outcome, memory, model: null, loaded: loadedBy(told) }
  }
  const { model } = choice
  const loaded = loadedBy(told)
  if (loaded !== undefined) round.onLoaded(loaded)
  const asking = { ...round, onSent: once(round.onSent) }
  const waited = await untilRoom(asking, was.owed)
  if (waited !== null) return { outcome: waited, memory, model: null }
  const first = await watched(asking, memory, model)
  const asked = await renamed(asking, told, { memory, model, first })
  const { outcome } = asked
  const nameless = model === null && !round.quirks.modelOptional
  if (told.kind === 'silent' && nameless && isRefusedKind(outcome)) {
    // It lives, but did not tell us in time what to ask for.
    return { outcome: { kind: 'inconclusive', detail: 'loaded_unknown' }, memory, model }
  }
  const owed = outcome.kind === 'timeout' || (outcome.kind === 'inconclusive' && was.owed)
  const form = outcome.kind === 'pass' ? asked.form : was.form
  const asleep = reasonOf(outcome) === 'sleeping'
  const kept = { ...memory, owed, form, asleep, kind: kindAfter(outcome, asked.kind, was) }
  return { outcome, memory: kept, model: asked.model }
}

/** A generation, and a look now and then at what else the engine does while it is silent. */
async function watched(round: Round, memory: Memory, model: string | null): Promise<Generated> {
  const ending = new AbortController()
  const leaving = new AbortController()
  const signal = AbortSignal.any([round.signal, leaving.signal])
  const watch = watchWork(round, ending.signal)
  const sleepWatch = watchSleep(round, ending.signal, () => leaving.abort())
  try {
    const found = await generate({ ...round, signal }, memory, model)
    if (leaving.signal.aborted && !round.signal.aborted) return { ...found, outcome: ASLEEP }
    // One that is put to sleep may also answer with an error.
    const failed = found.outcome.kind === 'fail' && found.outcome.reason === 'http_5xx'
    return failed && (await sleeps(round)) ? { ...found, outcome: ASLEEP } : found
  } finally {
    ending.abort()
    await watch
    await sleepWatch
  }
}

const ASLEEP: ProbeOutcome = { kind: 'fail', reason: 'sleeping', detail: 'is_sleeping' }

function choiceOf(round: Round, told: Told, was: Memory): ProbeChoice {
  return chooseModel({
    configured: round.model,
    swaps: round.swaps,
    facts: { proven: round.proven, loadedAt: round.clock.nowMs() },
    loaded: told.kind === 'told' ? told.names : null,
    silent: told.kind === 'silent',
    lastLoaded: was.lastLoaded,
    listed: round.listing.models,
    quirks: round.quirks,
  })
}

/** A name from an old list is not known any more: it was started anew with another model. */
async function renamed(
  round: Round,
  told: Told,
  was: { readonly memory: Memory; readonly model: string | null; readonly first: Generated },
): Promise<Generated> {
  const discovered = round.model === null && told.kind === 'cannot_tell' && was.model !== null
  if (!discovered || reasonOf(was.first.outcome) !== 'model_not_found') return was.first
  round.listing.forget()
  await round.listing.refresh(query(round))
  const choice = choiceOf(round, told, was.memory)
  if (choice.kind !== 'probe' || choice.model === was.model) return was.first
  return watched(round, was.memory, choice.model)
}

async function askLoaded(round: Round, was: Memory): Promise<Told> {
  const { loadedQuery } = round.quirks
  if (loadedQuery === null || was.cannotTell) return { kind: 'cannot_tell', lasting: true }
  const fetched = await round.wire.get({ ...query(round), path: loadedQuery.path })
  if (fetched.kind === 'silent') return { kind: 'silent' }
  if (fetched.kind === 'broken') {
    // An answer that broke midway tells nothing: the generation will tell more.
    if (fetched.phase === 'body') return { kind: 'cannot_tell', lasting: false }
    return { kind: 'decides', outcome: ofBreak(fetched.code, fetched.phase) }
  }
  if (fetched.status === 200) {
    const names = loadedQuery.read(fetched.body)
    return names === null ? { kind: 'cannot_tell', lasting: true } : { kind: 'told', names }
  }
  const outcome = ofStatus(fetched.status, fetched.body, round.quirks)
  const decides =
    outcome.kind === 'fail' && (outcome.reason === 'loading' || outcome.reason === 'unauthorized')
  return decides ? { kind: 'decides', outcome } : { kind: 'cannot_tell', lasting: false }
}

/** What is in memory, null where it does not tell; undefined: this time it did not say. */
function loadedBy(told: Told): readonly string[] | null | undefined {
  if (told.kind === 'told') return told.names
  return told.kind === 'cannot_tell' && told.lasting ? null : undefined
}

/** Is the name of the model to be found in the list, or does the list say what those in memory are
 *  for? */
function needsList({ model, quirks, listing }: Round, told: Told): boolean {
  if (model !== null) return false
  if (told.kind === 'told') return told.names.length > 0 && listing.models === null
  return told.kind === 'cannot_tell' && !quirks.modelOptional
}

const COLD: ProbeOutcome = { kind: 'cold' }

/** Any generation might load a model: whether it lists its models is all that can be asked. */
async function lookAround(round: Round): Promise<ProbeOutcome> {
  const fetched = await round.listing.look(query(round))
  if (fetched.kind === 'silent') return { kind: 'inconclusive', detail: 'list_silent' }
  if (fetched.kind === 'broken') {
    return fetched.phase === 'body' ? COLD : ofBreak(fetched.code, fetched.phase)
  }
  return fetched.status === 200 ? COLD : ofStatus(fetched.status, fetched.body, round.quirks)
}

/** The kind that passed. What only embedded may generate after it failed: it may be another process. */
function kindAfter(outcome: ProbeOutcome, kind: ProbeKind | null, was: Memory): ProbeKind | null {
  if (outcome.kind === 'pass' || outcome.kind === 'embeds') return kind
  return outcome.kind === 'fail' && workOf(was.kind) === 'embedding' ? null : was.kind
}

function once(task: () => void): () => void {
  let done = false
  return () => {
    if (!done) task()
    done = true
  }
}

function query({ target, queryLimitMs, signal, clock, quirks }: Round): {
  readonly target: Target
  readonly limitMs: number
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly quirks: Quirks
} {
  return { target, limitMs: queryLimitMs, signal, clock, quirks }
}

/** One look at one server, without a table. */
export interface OnceCall {
  readonly target: Target
  readonly engine: EngineKind
  /** Null: discovered. */
  readonly model: string | null
  readonly maxTokens: number
  /** The generation is given up after this, ms; the model list too, and not later than 2 s. */
  readonly limitMs: number
  readonly clock: Clock
  readonly signal: AbortSignal
  /** The network; absent: the real one. */
  readonly wire?: Wire
}

export interface OnceResult {
  readonly outcome: ProbeOutcome
  /** The names it lists; null: it did not say. */
  readonly models: readonly string[] | null
  readonly durationMs: number
}

/** The model list and the question what is loaded never take longer than this, ms. */
export const QUERY_LIMIT_MS_MAX = 2_000

/** Probes a server once, as the prober would: for `gengate probe` and `diag`. Never rejects. */
export async function probeOnce(call: OnceCall): Promise<OnceResult> {
  const { clock, wire = { probe: runProbe, get: fetchJson } } = call
  const listing = new Listing({ clock, get: wire.get, onModels: () => {} })
  const startedAt = clock.nowMs()
  const { outcome } = await runRound(
    {
      ...call,
      wire,
      listing,
      quirks: quirksOf(call.engine),
      queryLimitMs: Math.min(call.limitMs, QUERY_LIMIT_MS_MAX),
      swaps: 'auto',
      proven: [],
      onLoaded: () => {},
      onSent: () => {},
      onProgress: () => {},
    },
    NO_MEMORY,
  )
  const durationMs = clock.nowMs() - startedAt
  await listing.settled()
  return { outcome, models: idsOf(listing.models), durationMs }
}
