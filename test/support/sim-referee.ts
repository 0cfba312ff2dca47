import { REASONS } from '../../src/core/health/reason.ts'
import {
  type Entry,
  nextTable,
  type RoutingTable,
  stateOf,
  type TableEvent,
} from '../../src/core/table.ts'
import { servesOf } from '../../src/core/route.ts'
import type { SimClock } from './sim-clock.ts'
import type { Engine, Fault } from './sim-engine.ts'
import { hangs, Ledger } from './sim-ledger.ts'
import type { Summary } from '../../src/core/exchange/exchange.ts'
import type { Send, Told } from './sim-plane.ts'
import { noTally } from './sim-tally.ts'

/** What a client hears at last. */
const LAST: ReadonlySet<string> = new Set(['answer', 'pass_on', 'end', 'cut', 'hang_up'])
const SERVING: readonly string[] = ['eligible', 'cold', 'suspect']
/** One look of the data plane's watch, and rounding, ms. */
const TICK_MS = 250
/** A request this silent asks for a probe out of turn (`NUDGE_MS` of the schedule). */
const NUDGE_MS = 400

/** Watches everything that happens in a world and knows the truth about the engines. */
export class Referee {
  readonly violations: string[] = []
  readonly tally = noTally()
  readonly ledgers = new Map<string, Ledger>()
  readonly #clock: SimClock
  readonly #engineAt: (url: string) => Engine | undefined
  #table: RoutingTable
  #activeAt = Number.NEGATIVE_INFINITY
  #activeSince = 0
  #doubtAt = Number.NEGATIVE_INFINITY
  #at = 0

  constructor(clock: SimClock, table: RoutingTable, engineAt: (url: string) => Engine | undefined) {
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
    const now = this.#clock.nowMs()
    for (const ledger of this.ledgers.values()) {
      if (ledger.engine === engine) ledger.turned(fault, now, this.#known(ledger.name))
    }
  }

  /** What the gate avoids already, it has not to notice. */
  #known(name: string): { soft: boolean; hard: boolean } {
    const entry = this.#entry(name)
    const state = entry === undefined ? 'unknown' : stateOf(entry)
    return { soft: state !== 'eligible', hard: state !== 'eligible' && state !== 'suspect' }
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

  forward({ entry }: Send, tried: readonly string[]): void {
    this.tally.forwards++
    const { name } = entry.spec
    const now = this.#clock.nowMs()
    const state = stateOf(entry)
    const ledger = this.ledgers.get(name)
    if (ledger === undefined) return this.fail('I1', `${name} is unknown to the referee`)
    const may = entry.spec.intent === 'enabled' && SERVING.includes(state)
    if (!may) this.fail('I1', `${name} is ${state} and gets a request`)
    const better = this.#table.entries.some(
      (other) => stateOf(other) === 'eligible' && !tried.includes(other.spec.name),
    )
    if (state !== 'eligible' && better) this.fail('I1', `${name} is ${state}, another is eligible`)
    if (servesOf(entry) !== 'first') return
    if (now - ledger.proofAt > this.#freshMs(entry, now)) {
      this.fail('I1', `${name} serves by a proof of ${Math.round(now - ledger.proofAt)} ms ago`)
    }
    if (ledger.failureAt > ledger.proofAt) {
      this.fail('I1', `${name} serves after ${ledger.failedWhy}`)
    }
    if (ledger.owed > 0) this.fail('I1', `${name} serves and owes ${ledger.owed} passes`)
    if (now < ledger.holdUntil) this.fail('I1', `${name} serves during its hold-down`)
  }

  /** A request ended: what holds whatever happened to it. */
  ended(summary: Summary, { deeds, seen, taken }: Told): void {
    // What is said of one that was taken out is not said of the others.
    if (summary.code !== null && !taken) this.#refused(summary.code)
    if (seen > 2) this.fail('I10', `${seen} engines took one request`)
    const last = deeds.filter((deed) => LAST.has(deed))
    if (last.length !== 1) this.fail('I11', `it ends with ${last.join(' and ')}`)
    if (summary.ttftMs !== null && last[0] === 'answer') {
      this.fail('I11', 'an answer of our own after content')
    }
  }

  /** A request ended with a refusal of the gate's own. */
  #refused(code: string): void {
    if (code !== 'no_eligible_upstream' && code !== 'upstream_starting' && code !== 'exhausted')
      return
    const isAble = (one: Ledger): boolean =>
      one.healthy && one.admitted && this.#entry(one.name)?.spec.intent === 'enabled'
    const able = [...this.ledgers.values()].find(isAble)
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
    if (to === 'eligible' && ledger.healthy && ledger.proofAt >= ledger.healthySince) {
      if (!ledger.admitted) ledger.admittedAt = this.#clock.nowMs()
      ledger.admitted = true
    }
    if (to === 'cold' || to === 'starting') ledger.pardon()
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
    if (
      others === 0 ||
      now - this.#activeAt >= 60_000 ||
      entry.spec.intent !== 'enabled' ||
      blind
    ) {
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
    const { longestGapMs } = entry.facts
    const dutyMs = ledger.dutyMs(this.#table.config.health, longestGapMs) + TICK_MS
    if (state === 'eligible' && lasted > dutyMs) {
      this.fail(
        'I4',
        `${ledger.name} is ${ledger.engine?.fault} for ${Math.round(lasted)} ms (duty ${dutyMs})`,
      )
      wedge.dutySince = now
    }
  }

  #freshMs({ spec }: Entry, now: number): number {
    const { intervalMs, quietIntervalMs } = this.#table.config.health
    // One whose model a probe would pin in memory is probed often only while it is used itself.
    if (spec.quietIntervalMs > quietIntervalMs) return 3 * spec.quietIntervalMs
    const isActive = now - this.#activeAt < 60_000
    const activeFor = isActive ? now - this.#activeSince : 0
    if (isActive && activeFor > 3 * intervalMs) return 3 * intervalMs
    return 3 * quietIntervalMs
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
