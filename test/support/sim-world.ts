import { fullBudget } from '../../src/core/exchange/ending.ts'
import type { Summary } from '../../src/core/exchange/exchange.ts'
import type { GateEvent } from '../../src/core/event.ts'
import type { RoutingTable, TableConfig, TableEvent } from '../../src/core/table.ts'
import type { UpstreamSpec } from '../../src/core/upstream.ts'
import { Prober } from '../../src/probe/prober.ts'
import type { ProxyDeps } from '../../src/proxy/deps.ts'
import { Holds, Leases } from '../../src/proxy/leases.ts'
import { Watch } from '../../src/proxy/exchange.ts'
import { TableStore } from '../../src/state/table-store.ts'
import type { Chance } from './sim-chance.ts'
import { SimClock } from './sim-clock.ts'
import { Engine, type EngineTraits, type Fault } from './sim-engine.ts'
import { type SimEnding, SimExchange, type SimRequest } from './sim-plane.ts'
import { Referee } from './sim-referee.ts'
import { simWire } from './sim-wire.ts'

/** An engine of ordinary speed with room for several; everything that is not named is so. */
export const ORDINARY: EngineTraits = {
  slots: 8,
  queueMax: null,
  prefillBytesPerS: 8_000,
  baseMs: 40,
  itlMs: 60,
  loadMs: null,
  keepMs: 300_000,
}

/** A short question with a short answer. */
export const SMALL: SimRequest = {
  bytes: 300,
  tokens: 20,
  streamed: true,
  maxTokens: null,
  patienceMs: 30_000,
}

/** How a request ended, and what it was. */
export interface Done {
  readonly request: SimRequest
  readonly ending: SimEnding
  readonly code: string | null
  readonly askedAt: number
  readonly endedAt: number
  readonly summary: Summary
  /** What was done for it, in order. */
  readonly deeds: readonly string[]
  /** Engines that took it. */
  readonly seen: number
}

/** A store that says which event made each change. */
class SpiedStore extends TableStore {
  readonly #events: TableEvent[] = []

  spy(told: (event: TableEvent, before: RoutingTable, now: RoutingTable) => void): void {
    this.subscribe((now, before) => {
      const event = this.#events.shift()
      if (event !== undefined) told(event, before, now)
    })
  }

  override apply(event: TableEvent): void {
    // The base class configures itself before there are fields of ours, and before any listener.
    if (#events in this) this.#events.push(event)
    super.apply(event)
  }
}

/** The real table and prober over simulated engines and a simulated data plane. */
export class SimWorld {
  readonly clock = new SimClock()
  readonly chance: Chance
  readonly engines = new Map<string, Engine>()
  readonly store: SpiedStore
  readonly referee: Referee
  readonly done: Done[] = []
  /** Called for each attempt, before it is made. */
  onForward: (name: string) => void = () => {}
  /** Called for each event that the gate emits about a request. */
  onEvent: (event: GateEvent) => void = () => {}
  /** How long a request may wait while nobody can serve, ms. */
  holdMs = 2_000
  /** By how much sleep has put off all that the world had to do, ms. */
  sleptMs = 0
  readonly #prober: Prober
  readonly #watch: Watch
  readonly #proxy: ProxyDeps
  readonly #running = new Map<SimExchange, Promise<void>>()

  constructor(chance: Chance, config: TableConfig, traits: Readonly<Record<string, EngineTraits>>) {
    this.chance = chance
    for (const spec of config.specs) this.addEngine(spec.url, traits[spec.name] ?? ORDINARY)
    const nowMs = (): number => this.clock.nowMs()
    this.store = new SpiedStore(config, nowMs)
    this.referee = new Referee(this.clock, this.store.current, (url) => this.engines.get(url))
    this.store.spy((...change) => this.referee.applied(...change))
    const leases = new Leases()
    const parts = { store: this.store, clock: this.clock, random: chance.next, leases }
    const budget = { left: fullBudget(0) }
    const emit = (event: GateEvent): void => this.onEvent(event)
    // When clients come back is their affair here: no chance is spent on it.
    const plane = { ...parts, holds: new Holds(parts), budget, emit, random: () => 0.5 }
    this.#proxy = plane as unknown as ProxyDeps
    this.#watch = new Watch(this.#proxy)
    this.#prober = new Prober({
      ...parts,
      emit: () => {},
      keyOf: () => null,
      connectTimeoutMs: () => 1_000,
      probeMaxTokens: () => 1,
      wire: simWire((url) => this.engines.get(url), {
        onProbe: (url) => this.referee.probe(url),
        onOutcome: (url) => this.referee.probeEnded(url),
      }),
    })
    this.#prober.start()
  }

  addEngine(url: string, traits: EngineTraits): Engine {
    const engine = new Engine(this.clock, this.chance.next, traits)
    engine.onFault = (fault) => this.referee.fault(engine, fault)
    this.engines.set(url, engine)
    return engine
  }

  engine(name: string): Engine {
    const url = this.store.current.entries.find(({ spec }) => spec.name === name)?.spec.url
    const engine = this.engines.get(url ?? '')
    if (engine === undefined) throw new Error(`no engine for ${name}`)
    return engine
  }

  become(name: string, fault: Fault, restart = false): void {
    this.engine(name).become(fault, restart)
  }

  configure(specs: readonly UpstreamSpec[]): void {
    const config = { ...this.store.current.config, specs }
    this.store.apply({ type: 'configured', at: this.clock.nowMs(), config })
  }

  /** Our event loop stands still; the referee grants that its clocks start anew after it. */
  stall(ms: number): void {
    this.clock.stall(ms)
    this.referee.disturbed(this.clock.nowMs() + ms)
  }

  sleep(ms: number, monotonic: boolean): void {
    if (monotonic) this.sleptMs += ms
    this.clock.sleep(ms, monotonic)
    this.referee.disturbed(this.clock.nowMs() + (monotonic ? ms : 0))
  }

  /** One client request now. */
  ask(request: SimRequest = SMALL): void {
    const askedAt = this.clock.nowMs()
    const exchange = new SimExchange(
      {
        proxy: this.#proxy,
        watch: this.#watch,
        engineAt: (url) => this.engines.get(url),
        holdMs: this.holdMs,
        commitDeadlineMs: 10_000,
        ears: {
          onSend: (send, tried) => {
            this.onForward(send.entry.spec.name)
            this.referee.forward(send, tried)
          },
          onEnd: (summary, told) => {
            const { ending, code } = summary
            const endedAt = this.clock.nowMs()
            this.done.push({ request, ending, code, askedAt, endedAt, summary, ...told })
            this.referee.ended(summary, told)
          },
        },
      },
      request,
    )
    const ended = exchange.run().finally(() => this.#running.delete(exchange))
    this.#running.set(exchange, ended)
  }

  /** Clients that ask `what()` on average every `meanMs`, until `untilMs`. */
  traffic(meanMs: () => number, untilMs: number, what: () => SimRequest): void {
    const next = (): void => {
      this.clock.world(this.chance.gap(meanMs()), () => {
        if (this.clock.nowMs() > untilMs) return
        this.clock.io(() => this.ask(what()))
        next()
      })
    }
    next()
  }

  /** At `atMs` from now, whatever our event loop does. */
  at(atMs: number, task: () => void): void {
    this.clock.world(atMs - this.clock.nowMs(), task)
  }

  state(name: string): string {
    const entry = this.store.current.entries.find(({ spec }) => spec.name === name)
    return entry?.reason ?? 'absent'
  }

  async run(untilMs: number): Promise<void> {
    await this.clock.run(untilMs)
  }

  /** Stops everything; nothing of ours may be left (I6). */
  async close(): Promise<void> {
    const running = [...this.#running.values()]
    for (const exchange of this.#running.keys()) exchange.leave()
    await Promise.all(running)
    await this.#prober.stop()
    this.#watch.close()
    if (this.clock.timers !== 0) this.referee.fail('I6', `${this.clock.timers} timers are left`)
    if (this.#proxy.leases.total !== 0) this.referee.fail('I6', 'leases are left')
  }
}
