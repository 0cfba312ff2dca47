import { INTENTS } from '../core/upstream.ts'
import { backoffMs, PROBE_LIMIT_MS, probeDeadlineMs } from '../core/health/policy.ts'
import { endRuleOf } from '../core/health/facts.ts'
import { type Evidence, outcomeLabel, type ProbeOutcome } from '../core/health/evidence.ts'
import type { GateEvent } from '../core/event.ts'
import type { Entry } from '../core/table.ts'
import { quirksOf } from '../engines/index.ts'
import { type Clock, sleep } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { TableStore } from '../state/table-store.ts'
import { doubtsUs } from './doubt.ts'
import { LIST_MAX_AGE_MS, Listing } from './listing.ts'
import {
  type Memory,
  NO_MEMORY,
  QUERY_LIMIT_MS_MAX,
  type Round,
  type RoundResult,
  runRound,
} from './round.ts'
import type { Wire } from './generate.ts'
import type { Target } from './wire.ts'

/** What every loop of a prober shares. */
export interface LoopDeps {
  readonly store: TableStore
  readonly clock: Clock
  readonly random: Random
  readonly emit: (event: GateEvent) => void
  /** The key that the upstream of this name wants; null: none. */
  readonly keyOf: (name: string) => string | null
  readonly connectTimeoutMs: () => number
  readonly probeMaxTokens: () => number
  readonly wire: Wire
}

/** One upstream that is probed, and when. */
export interface Turns {
  readonly name: string
  readonly epoch: number
  /** Null once the entry is gone, has another epoch, or nothing is to be probed any more. */
  readonly entry: () => Entry | null
  /** Resolves when a probe is due, or when there is nothing left to probe. */
  readonly wait: () => Promise<void>
}

/** Until a list that was not told is asked for again, ms. */
const LIST_RETRY_MS = 10_000
/** Between two looks whether one that nobody probes and that refused a request listens again, ms. */
const KNOCK = { first: 1_000, max: 10_000 }
/** A name that cannot be resolved says nothing once; so often in a row, it has no address. */
const UNRESOLVED_MAX = 3

/**
 * Probes one upstream for as long as its entry keeps its epoch. One probe in flight at most, since
 * it does one thing after the other. Once stopped it applies nothing.
 */
export class ProbeLoop {
  readonly #turns: Turns
  readonly #deps: LoopDeps
  readonly #listing: Listing
  readonly #stopping = new AbortController()
  /** Ends the round that runs. */
  #giveUp = new AbortController()
  /** Ends the pause between two lists of one that nobody probes. */
  #nap = new AbortController()
  #memory: Memory = NO_MEMORY
  #last: ProbeOutcome | null = null
  #unresolved = 0
  #running: Promise<void> = Promise.resolve()

  constructor(turns: Turns, deps: LoopDeps) {
    this.#turns = turns
    this.#deps = deps
    this.#listing = new Listing({
      clock: deps.clock,
      get: deps.wire.get,
      onModels: (models) => this.#apply({ type: 'models', at: deps.clock.nowMs(), models }),
    })
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Ends the probe in flight. Resolves when nothing of this loop is left. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
    await this.#listing.settled()
  }

  /** Another failure is known, or none any more. */
  changed({ facts: { sentAt, failure } }: Entry): void {
    if (failure?.reason !== 'refused') return
    // Nobody listens there any more. A process that ends may wait for its last connection: llama.cpp
    // does, and its streams stand still meanwhile (b10434).
    if (sentAt !== null && failure.at > sentAt) this.#giveUp.abort()
    this.#nap.abort()
  }

  async #run(): Promise<void> {
    const entry = this.#turns.entry()
    if (entry === null) return
    if (entry.spec.probe !== 'active') return this.#listOnly()
    // A loop that was stopped left its probe open in the books; nobody will end it.
    if (entry.facts.sentAt !== null) this.#end({ kind: 'inconclusive', detail: 'abandoned' }, null)
    while (this.#turns.entry() !== null) {
      await this.#turns.wait()
      await this.#round()
    }
  }

  /** Nobody probes it, but its model names are wanted; and so is whether it listens again. */
  async #listOnly(): Promise<void> {
    const { signal } = this.#stopping
    let knocks = 0
    for (let entry = this.#turns.entry(); entry !== null; entry = this.#turns.entry()) {
      if (INTENTS[entry.spec.intent].probed && (knocks === 0 || (await this.#listens(entry)))) {
        this.#listing.forget()
        const target = this.#target(entry)
        const quirks = quirksOf(entry.spec.engine)
        await this.#listing.refresh({ target, limitMs: QUERY_LIMIT_MS_MAX, signal, quirks })
      }
      const refused = this.#turns.entry()?.facts.failure?.reason === 'refused'
      knocks = refused ? knocks + 1 : 0
      const listAgain = this.#listing.models === null ? LIST_RETRY_MS : LIST_MAX_AGE_MS
      this.#nap = new AbortController()
      await sleep(
        this.#deps.clock,
        refused ? backoffMs(knocks, KNOCK) : listAgain,
        AbortSignal.any([signal, this.#nap.signal]),
      )
    }
  }

  /** Does anything listen there again? Then the next request may go there. */
  async #listens(entry: Entry): Promise<boolean> {
    const { wire, clock } = this.#deps
    const { signal } = this.#stopping
    const limitMs = QUERY_LIMIT_MS_MAX
    const call = { target: this.#target(entry), path: '/v1/models', limitMs, clock, signal }
    const fetched = await wire.get(call)
    if (fetched.kind !== 'answer') return false
    this.#apply({ type: 'reached', at: clock.nowMs() })
    return true
  }

  async #round(): Promise<void> {
    const entry = this.#turns.entry()
    if (entry === null) return
    const { clock } = this.#deps
    const startedAt = clock.nowMs()
    this.#giveUp = new AbortController()
    const { outcome, memory, model, loaded } = await this.#guarded(this.#roundOf(entry))
    if (this.#stopping.signal.aborted) return
    this.#remember(outcome, memory)
    this.#settle(this.#persistent(outcome), model, clock.nowMs() - startedAt)
    if (loaded !== undefined) this.#apply({ type: 'loaded', at: clock.nowMs(), names: loaded })
  }

  #roundOf(entry: Entry): Round {
    const { clock, store, wire, probeMaxTokens } = this.#deps
    const deadlineMs = probeDeadlineMs(store.current.config.health, entry.facts)
    return {
      target: this.#target(entry),
      quirks: quirksOf(entry.spec.engine),
      endRule: endRuleOf(entry.spec, entry.facts),
      model: entry.spec.model,
      swaps: entry.spec.swaps,
      proven: entry.facts.proven,
      maxTokens: probeMaxTokens(),
      limitMs: PROBE_LIMIT_MS,
      queryLimitMs: Math.min(deadlineMs, QUERY_LIMIT_MS_MAX),
      clock,
      signal: AbortSignal.any([this.#stopping.signal, this.#giveUp.signal]),
      wire,
      listing: this.#listing,
      onLoaded: (names) => this.#apply({ type: 'loaded', at: clock.nowMs(), names }),
      onSent: () => this.#apply({ type: 'probe_sent', at: clock.nowMs() }),
      onProgress: (gapMs) => this.#apply({ type: 'progress', at: clock.nowMs(), gapMs }),
    }
  }

  /** A bug in here must not end the watch over an upstream, nor be held against it. */
  async #guarded(round: Round): Promise<RoundResult> {
    try {
      return await runRound(round, this.#memory)
    } catch {
      return { outcome: { kind: 'inconclusive', detail: 'bug' }, memory: NO_MEMORY, model: null }
    }
  }

  /** After anything but a pass it may be another process: its list and habits are asked anew. */
  #remember(outcome: ProbeOutcome, memory: Memory): void {
    const kept =
      outcome.kind === 'pass' ||
      outcome.kind === 'embeds' ||
      outcome.kind === 'timeout' ||
      outcome.kind === 'busy'
    this.#memory = kept ? memory : { ...memory, cannotTell: false }
    if (outcome.kind === 'fail') this.#listing.forget()
  }

  #settle(outcome: ProbeOutcome, model: string | null, durationMs: number): void {
    const { clock, store, emit } = this.#deps
    // Once per episode: one name that never resolves must not excuse all others for ever.
    const news = this.#last === null || !doubtsUs(this.#last)
    if (doubtsUs(outcome) && news) {
      store.apply({ type: 'doubt', at: clock.nowMs() })
      emit({ type: 'doubted', why: 'cannot_ask', lostMs: 0 })
    }
    this.#last = outcome
    this.#end(outcome, model)
    const tokens = outcome.kind === 'pass' ? outcome.tokens : 0
    const label = outcomeLabel(outcome)
    emit({ type: 'probe_ended', upstream: this.#turns.name, outcome: label, durationMs, tokens })
  }

  #persistent(outcome: ProbeOutcome): ProbeOutcome {
    const unresolved = outcome.kind === 'inconclusive' && outcome.detail === 'ENOTFOUND'
    this.#unresolved = unresolved ? this.#unresolved + 1 : 0
    return unresolved && this.#unresolved >= UNRESOLVED_MAX
      ? { kind: 'fail', reason: 'unreachable', detail: outcome.detail }
      : outcome
  }

  #end(outcome: ProbeOutcome, model: string | null): void {
    this.#apply({ type: 'probe_ended', at: this.#deps.clock.nowMs(), outcome, model })
  }

  #apply(evidence: Evidence): void {
    if (this.#stopping.signal.aborted) return
    const { store } = this.#deps
    const { name, epoch } = this.#turns
    store.apply({ type: 'evidence', name, epoch, evidence })
  }

  #target(entry: Entry): Target {
    const { keyOf, connectTimeoutMs } = this.#deps
    return {
      url: entry.spec.url,
      apiKey: keyOf(entry.spec.name),
      connectTimeoutMs: connectTimeoutMs(),
    }
  }
}
