import { randomBytes } from 'node:crypto'
import { AppConfig } from './app-config.ts'
import type { Config, ConfigResult } from './config/load.ts'
import { changesBetween } from './core/changes.ts'
import type { GateEvent } from './core/event.ts'
import { fullBudget } from './core/exchange/ending.ts'
import type { RoutingTable } from './core/table.ts'
import type { UpstreamSpec } from './core/upstream.ts'
import { checkRequest } from './door/guards.ts'
import { type Send, sendVia } from './door/own-answer.ts'
import { buildServer, type GateServer } from './door/server.ts'
import { EMBEDDED_NAME, EmbeddedHost } from './embedded/host.ts'
import { operatorRoutes } from './operator/routes.ts'
import type { StatusContext } from './operator/status.ts'
import { Prober } from './probe/prober.ts'
import type { ProxyDeps } from './proxy/deps.ts'
import { Proxy } from './proxy/handler.ts'
import { Holds, Leases } from './proxy/leases.ts'
import { Realtime } from './proxy/realtime/realtime.ts'
import { Buffered } from './proxy/request/body.ts'
import { Sticky } from './proxy/sticky.ts'
import { Pools } from './proxy/upstream/pools.ts'
import type { Clock } from './runtime/clock.ts'
import type { Random } from './runtime/random.ts'
import { TableStore } from './state/table-store.ts'
import { HostMachine } from './supervisor/host.ts'
import type { EngineDeath, Machine } from './supervisor/machine.ts'
import { Supervisor } from './supervisor/supervisor.ts'
import type { Log } from './telemetry/log.ts'
import { fanOut } from './telemetry/events.ts'
import { createMetrics } from './telemetry/metrics.ts'

/** What the composition root takes from the process. */
export interface AppIo {
  readonly clock: Clock
  readonly random: Random
  readonly version: string
  readonly log: Log
  /** Where engines are started; absent: on this machine. */
  readonly machine?: Machine
  /** Hears of engines of ours that ended by themselves. */
  readonly onDeath?: ((death: EngineDeath) => void) | undefined
  /** The environment for engines that the gate starts, and for where their files lie. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** After the drain, answers that are complete get this long to leave, ms. */
const FLUSH_MS_MAX = 5_000

/** A running gate. Builds the parts and wires them; nothing runs before `listen`. */
export class App {
  readonly store: TableStore
  readonly #io: AppIo
  readonly #config: AppConfig
  readonly #instanceId = randomBytes(6).toString('hex')
  readonly #started: { readonly atMs: number; readonly wallMs: number }
  readonly #leases = new Leases()
  readonly #pools: Pools
  readonly #emit: (event: GateEvent) => void
  readonly #proxy: Proxy
  readonly #prober: Prober
  readonly #host: EmbeddedHost
  readonly #supervisor: Supervisor
  readonly #server: GateServer
  #draining = false
  #closed: Promise<void> | null = null

  constructor(config: Config, io: AppIo) {
    const { clock, random } = io
    this.#io = io
    this.#config = new AppConfig(config, this.#instanceId)
    this.#started = { atMs: clock.nowMs(), wallMs: clock.wallMs() }
    this.store = new TableStore(this.#config.table(), () => clock.nowMs())
    const metrics = createMetrics(() => ({ ...this.#now(), table: this.store.current }), io.version)
    const report = (name: string, error: unknown): void =>
      io.log.note('error', 'observer_failed', `${name}: ${String(error)}`)
    const observers = [
      { name: 'metrics', observe: metrics.observe },
      { name: 'log', observe: io.log.observe },
    ]
    this.#emit = fanOut(observers, report)
    const send = sendVia(this.#emit)
    this.#pools = new Pools(() => clock.nowMs())
    const shared = { store: this.store, clock, random, emit: this.#emit }
    const deps = this.#proxyDeps(send)
    this.#proxy = new Proxy(deps)
    this.#prober = new Prober({
      ...shared,
      keyOf: (name) => this.#config.keyOf(name),
      connectTimeoutMs: () => this.#config.now.connectTimeoutMs,
      probeMaxTokens: () => this.#config.now.probeMaxTokens,
    })
    this.#host = new EmbeddedHost({
      clock,
      urls: config.upstreams.map(({ spec }) => spec.url),
      inFlight: (name) => this.#leases.count(name),
      onMessage: (message) => this.#emit({ type: 'embedded', message }),
      onSpec: (spec) => this.#setEmbedded(spec),
    })
    this.#supervisor = new Supervisor({
      ...shared,
      inFlight: (name) => this.#leases.count(name),
      drainMs: () => this.#config.now.drainMs,
      machine: io.machine ?? new HostMachine(io),
      listen: (observe) => observers.push({ name: 'supervisor', observe }),
      onDeath: io.onDeath,
    })
    this.#server = buildServer({
      clock,
      emit: this.#emit,
      send,
      guard: (request) => checkRequest(request, this.#config.policy),
      config: this.#config,
      routes: operatorRoutes({
        metrics,
        table: () => this.store.current,
        now: () => this.#now(),
        startedWallMs: this.#started.wallMs,
      }),
      proxy: this.#proxy,
      upgrades: new Realtime(deps),
    })
  }

  /** Binds and starts to probe. Rejects with the system's error when it cannot bind. */
  async listen(): Promise<{ readonly host: string; readonly port: number }> {
    const { host, port, embedded } = this.#config.now
    const bound = await this.#server.listen({ host, port })
    this.#pools.sync(this.#config.targets())
    this.store.onVisible((now, before) => this.#changed(now, before))
    this.#supervisor.configure(this.#config.plans())
    this.#prober.start()
    void this.#host.start(embedded)
    return { host, port: bound }
  }

  /** Takes a configuration that was read anew; an invalid one changes nothing and is told. */
  reload(result: ConfigResult): void {
    const { ok, notes } = this.#config.reload(result)
    if (ok) {
      this.#configure()
      this.#supervisor.configure(this.#config.plans())
    }
    this.#emit({ type: 'config_reloaded', ok, notes })
  }

  /** Ends: new requests are refused, running ones finish within the drain time, or at once with
   *  `force`. Resolves when no socket, timer, probe or child is left. Never rejects. */
  close(options: { readonly force?: boolean } = {}): Promise<void> {
    this.#closed ??= this.#close(options.force === true ? 0 : this.#config.now.drainMs)
    return this.#closed
  }

  async #close(drainMs: number): Promise<void> {
    // Not ready first, and still listening: who asks is told to come back later or elsewhere.
    this.#draining = true
    await this.#proxy.drain(drainMs)
    const closing = this.#server.close()
    // Nothing is asked of them any more: their probes may fail as they please.
    const engines = this.#supervisor.stop()
    // A client that never reads its last bytes must not hold the port.
    const cancel = this.#io.clock.after(drainMs === 0 ? 0 : FLUSH_MS_MAX, () => this.#server.cut())
    await Promise.all([closing, engines, this.#prober.stop(), this.#host.stop()])
    cancel()
    this.#pools.close()
  }

  #proxyDeps(send: Send): ProxyDeps {
    const { clock, random } = this.#io
    return {
      store: this.store,
      pools: this.#pools,
      leases: this.#leases,
      holds: new Holds({ store: this.store, leases: this.#leases, clock }),
      sticky: new Sticky(() => clock.nowMs()),
      budget: { left: fullBudget(clock.nowMs()) },
      buffered: new Buffered(() => clock.nowMs()),
      clock,
      random,
      emit: this.#emit,
      config: this.#config,
      send,
    }
  }

  /** What is true at this moment and stands in no table. */
  #now(): StatusContext {
    const { clock, version } = this.#io
    return {
      nowMs: clock.nowMs(),
      wallMs: clock.wallMs(),
      startedAtMs: this.#started.atMs,
      inFlight: (name) => this.#leases.count(name),
      engineOf: (name) => this.#supervisor.statusOf(name),
      version,
      instance: this.#instanceId,
      configState: this.#config.state,
      draining: this.#draining,
    }
  }

  #configure(): void {
    this.#pools.sync(this.#config.targets())
    const config = this.#config.table()
    this.store.apply({ type: 'configured', at: this.#io.clock.nowMs(), config })
  }

  #setEmbedded(spec: UpstreamSpec | null): void {
    this.#config.embedded = spec
    if (!this.#draining) this.#configure()
  }

  #changed(now: RoutingTable, before: RoutingTable): void {
    for (const event of changesBetween(before, now, this.#io.clock.nowMs())) {
      this.#emit(event)
      const real = event.type === 'state_changed' && event.upstream !== EMBEDDED_NAME
      if (real && event.eligible) this.#host.realUpstreamPassed()
    }
  }
}
