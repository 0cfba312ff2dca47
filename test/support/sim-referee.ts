import { REASONS, type State } from '../../src/core/reason.ts'
import {
  type Entry,
  nextTable,
  type RoutingTable,
  shownReason,
  type TableEvent,
} from '../../src/core/table.ts'
import type { SimClock } from './sim-clock.ts'
import type { Engine, Fault } from './sim-engine.ts'
import { Ledger } from './sim-ledger.ts'
import type { Forward } from './sim-plane.ts'

/** Faults that must move traffic away while another upstream is eligible. */
const WEDGES: ReadonlySet<Fault> = new Set(['silent', 'one_token', 'slow_wedge', 'busy_wedge'])
/** One look of the data plane's watch, and rounding, ms. */
const TICK_MS = 250
/** A request this silent asks for a probe out of turn (`NUDGE_MS` of the schedule). */
const NUDGE_MS = 400

const stateOf = (entry: Entry): State => REASONS[shownReason(entry)].state

export interface Tally {
  softMs: number[]
  hardMs: number[]
  falseEjections: number
  ejections: number
  forwards: number
  probes: number
  /** Time that healthy upstreams spent as suspects while another was eligible, ms. */
  falseSuspectMs: number
}

/** Watches everything that happens in a world and knows the truth about the engines. */
export class Referee {
  readonly violations: string[] = []
  readonly tally: Tally = {
    softMs: [],
    hardMs: [],
    falseEjections: 0,
    ejections: 0,
    forwards: 0,
    probes: 0,
    falseSuspectMs: 0,
  }
  readonly ledgers = new Map<string, Ledger>()
  readonly #clock: SimClock
  readonly #engineAt: (url: string) => Engine | undefined
  #table: RoutingTable
  #activeAt = Number.NEGATIVE_INFINITY
  #activeSince = 0
  #doubtAt = Number.NEGATIVE_INFINITY
  #at = 0

  constructor(
    clock: SimClock,
    table: RoutingTable,
    engineAt: (url: string) => Engine | undefined,
  ) {
    this.#clock = clock
    this.#engineAt = engineAt
    this.#table = table
    this.#open(table)
  }

  fail(invariant: string, what: string): void {
    if (this.violations.length < 20) {
      this.violations.push(`${invariant} at ${Math.round(this.#clock.nowMs())} ms: ${what}`)
    }
  }

  /** The truth about an engine changed. */
  fault(engine: Engine, fault: Fault): void {
    for (const ledger of this.ledgers.values()) {
      if (ledger.engine !== engine) continue
      ledger.admitted = false
      ledger.wedge = WEDGES.has(fault)
        ? { at: this.#clock.nowMs(), dutySince: null, soft: false, hard: false }
        : null
    }
  }

  /** Our event loop stood still, or the machine slept: duties begin anew. */
  disturbed(untilMs: number): void {
    this.#doubtAt = Math.max(this.#doubtAt, untilMs)
  }

  probe(url: string): void {
    const ledger = [...this.ledgers.values()].find((one) => this.#urlOf(one.name) === url)
    if (ledger === undefined) return
    const now = this.#clock.nowMs()
    this.tally.probes++
    if (++ledger.probing > 1) this.fail('I2', `${ledger.name} has ${ledger.probing} probes`)
    const entry = this.#entry(ledger.name)
    const { newest } = entry?.facts.flight ?? { newest: null }
    const wanted = ledger.liveFailureAt > ledger.progressAt || ledger.owed > 0
    const quietFor = now - ledger.progressAt
    const least = newest === null ? this.#table.config.health.intervalMs : NUDGE_MS
    if (!wanted && ledger.probesAt.length > 0 && quietFor < least - 1) {
      this.fail('I8', `${ledger.name} is probed ${Math.round(quietFor)} ms after progress`)
    }
    ledger.probesAt.push(now)
  }

  probeEnded(url: string): void {
    for (const ledger of this.ledgers.values()) {
      if (this.#urlOf(ledger.name) === url) ledger.probing = Math.max(0, ledger.probing - 1)
    }
  }

  forward({ entry, serves }: Forward, tried: readonly string[]): void {
    this.tally.forwards++
    const { name } = entry.spec
    const now = this.#clock.nowMs()
    const state = stateOf(entry)
    const ledger = this.ledgers.get(name)
    if (ledger === undefined) return this.fail('I1', `${name} is unknown to the referee`)
    if (state !== 'eligible' && state !== 'cold' && state !== 'suspect') {
      this.fail('I1', `${name} is ${state} and gets a request`)
    }
    const better = this.#table.entries.some(
      (other) => stateOf(other) === 'eligible' && !tried.includes(other.spec.name),
    )
    if (state !== 'eligible' && better) this.fail('I1', `${name} is ${state}, another is eligible`)
    if (serves !== 'first') return
    if (now - ledger.proofAt > this.#freshMs(entry, now)) {
      this.fail('I1', `${name} serves by a proof of ${Math.round(now - ledger.proofAt)} ms ago`)
    }
    if (ledger.failureAt > ledger.proofAt) {
      this.fail('I1', `${name} serves after ${ledger.failedWhy}`)
    }
    if (ledger.owed > 0) this.fail('I1', `${name} serves and owes ${ledger.owed} passes`)
    if (now < ledger.holdUntil) this.fail('I1', `${name} serves during its hold-down`)
  }

  /** A request ended with a refusal of the gate's own. */
  refused(code: string): void {
    if (code !== 'no_eligible_upstream' && code !== 'upstream_starting' && code !== 'exhausted') return
    const able = [...this.ledgers.values()].find(
      (one) => one.healthy && one.admitted && this.#entry(one.name)?.spec.intent === 'enabled',
    )
    if (able !== undefined) this.fail('I3', `${code} although ${able.name} is healthy and proven`)
  }

  applied(event: TableEvent, before: RoutingTable, now: RoutingTable): void {
    this.#table = now
    const at = this.#clock.nowMs()
    const passedMs = at - this.#at
    this.#at = at
    if (event.type === 'client_active') {
      if (at - this.#activeAt >= 60_000) this.#activeSince = at
      this.#activeAt = at
    }
    if (event.type === 'doubt') this.disturbed(event.at)
    if (event.type === 'configured') this.#open(now)
    if (event.type === 'evidence') this.#evidence(event, before, now)
    const eligible = now.entries.filter((entry) => stateOf(entry) === 'eligible').length
    for (const entry of now.entries) {
      const ledger = this.ledgers.get(entry.spec.name)
      if (ledger === undefined) continue
      const was = before.entries.find(({ spec }) => spec.name === entry.spec.name)
      this.#turned(ledger, was?.epoch === entry.epoch ? was : undefined, entry)
      this.#duty(ledger, entry, eligible)
      if (ledger.healthy && ledger.admitted && stateOf(entry) === 'suspect' && eligible > 0) {
        this.tally.falseSuspectMs += passedMs
      }
    }
  }

  #evidence(
    event: Extract<TableEvent, { type: 'evidence' }>,
    before: RoutingTable,
    now: RoutingTable,
  ): void {
    const entry = this.#entry(event.name)
    if (entry?.epoch === event.epoch) return this.ledgers.get(event.name)?.note(event.evidence)
    const untouched = nextTable(before, { type: 'tick', at: event.evidence.at })
    if (JSON.stringify(untouched.entries) !== JSON.stringify(now.entries)) {
      this.fail('I7', `${event.evidence.type} of another epoch changed ${event.name}`)
    }
  }

  #turned(ledger: Ledger, was: Entry | undefined, entry: Entry): void {
    const from = was === undefined ? 'unknown' : REASONS[was.reason].state
    const to = REASONS[entry.reason].state
    if (to === 'eligible' && ledger.healthy && ledger.proofAt >= this.#healthySince(ledger)) {
      ledger.admitted = true
    }
    if (to !== 'ejected' || (from !== 'eligible' && from !== 'suspect')) return
    this.tally.ejections++
    ledger.ejected(this.#clock.nowMs())
    if (!ledger.healthy || !ledger.admitted) return
    this.tally.falseEjections++
    ledger.admitted = false
    this.fail('I3', `${ledger.name} is healthy and ejected as ${entry.reason}`)
  }

  /** I4: is it time that the gate knows, and does it? */
  #duty(ledger: Ledger, entry: Entry, eligible: number): void {
    const { wedge } = ledger
    if (wedge === null) return
    const now = this.#clock.nowMs()
    const state = stateOf(entry)
    const others = eligible - (state === 'eligible' ? 1 : 0)
    const blind = ledger.engine?.fault === 'slow_wedge' && !hangs(entry)
    if (others === 0 || now - this.#activeAt >= 60_000 || entry.spec.intent !== 'enabled' || blind) {
      wedge.dutySince = null
      return
    }
    wedge.dutySince = Math.max(
      wedge.dutySince ?? now,
      wedge.at,
      this.#activeSince,
      this.#doubtAt,
      ledger.progressAt,
    )
    const lasted = now - wedge.dutySince
    if (state !== 'eligible' && !wedge.soft) {
      wedge.soft = true
      this.tally.softMs.push(lasted)
    }
    if (state === 'ejected' && !wedge.hard) {
      wedge.hard = true
      this.tally.hardMs.push(lasted)
    }
    const dutyMs = ledger.dutyMs(this.#table.config.health) + TICK_MS
    if (state === 'eligible' && lasted > dutyMs) {
      this.fail('I4', `${ledger.name} is ${ledger.engine?.fault} for ${Math.round(lasted)} ms (duty ${dutyMs})`)
      wedge.dutySince = now
    }
  }

  /** The engine's ledger starts at its epoch; proofs older than its health do not count. */
  #healthySince(ledger: Ledger): number {
    return this.healthySince.get(ledger.engine) ?? 0
  }

  readonly healthySince = new Map<Engine | undefined, number>()

  #freshMs({ spec }: Entry, now: number): number {
    const { intervalMs, quietIntervalMs } = this.#table.config.health
    const isActive = now - this.#activeAt < 60_000
    const activeFor = isActive ? now - this.#activeSince : 0
    if (isActive && activeFor > 3 * intervalMs) return 3 * intervalMs
    return 3 * Math.max(quietIntervalMs, spec.quietIntervalMs)
  }

  #open(table: RoutingTable): void {
    for (const { spec, epoch } of table.entries) {
      if (this.ledgers.get(spec.name)?.epoch === epoch) continue
      this.ledgers.set(spec.name, new Ledger(spec.name, epoch, this.#engineAt(spec.url)))
    }
    for (const name of this.ledgers.keys()) {
      if (!table.entries.some(({ spec }) => spec.name === name)) this.ledgers.delete(name)
    }
  }

  #entry(name: string): Entry | undefined {
    return this.#table.entries.find(({ spec }) => spec.name === name)
  }

  #urlOf(name: string): string | undefined {
    return this.#entry(name)?.spec.url
  }
}

/** Does a stream that has begun stand still there? */
function hangs({ facts }: Entry): boolean {
  return facts.flight.items.some(({ contentAt }) => contentAt !== null)
}
