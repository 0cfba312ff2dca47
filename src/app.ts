import { randomBytes } from 'node:crypto'
import type { App, AppIo, Now } from './app-io.ts'
import type { Config, ConfigResult } from './config/load.ts'
import { diffConfig } from './config/print.ts'
import { unusedNotes } from './config/notes.ts'
import { changesBetween } from './core/changes.ts'
import type { GateEvent } from './core/event.ts'
import type { RoutingTable } from './core/table.ts'
import type { UpstreamSpec } from './core/upstream.ts'
import { guardPolicyOf, plansOf, tableConfigOf, targetsOf } from './derive.ts'
import { EMBEDDED_NAME, EmbeddedHost } from './embedded/host.ts'
import { modelAnswer, modelsAnswer, type ModelsContext } from './operator/models.ts'
import { readinessOf } from './operator/readiness.ts'
import { operatorRoutes } from './operator/routes.ts'
import { buildServer, type GateServer } from './door/server.ts'
import { type ConfigState, statusOf } from './operator/status.ts'
import { Prober } from './probe/prober.ts'
import { Buffered } from './proxy/request/buffered.ts'
import type { ProxyDeps } from './proxy/deps.ts'
import type { GuardPolicy } from './door/access.ts'
import { checkRequest } from './door/guards.ts'
import { type Send, sendVia } from './door/own-answer.ts'
import { Proxy } from './proxy/handler.ts'
import { Holds } from './proxy/hold.ts'
import { Leases } from './proxy/leases.ts'
import { Pools } from './proxy/upstream/pools.ts'
import { Realtime } from './proxy/realtime/realtime.ts'
import { fullBudget } from './core/exchange/budget.ts'
import { Sticky } from './proxy/sticky.ts'
import { TableStore } from './state/table-store.ts'
import { hostMachine } from './supervisor/host.ts'
import { Supervisor } from './supervisor/supervisor.ts'
import { createMetrics, type Metrics, viewOf } from './telemetry/metrics.ts'
import { createFanout } from './telemetry/observer.ts'

/** After the drain, answers that are complete get this long to leave, ms. */
const FLUSH_MS_MAX = 5_000

export type { App, AppIo } from './app-io.ts'

/** Builds the parts and wires them. Nothing runs before `listen`. */
export function createApp(config: Config, io: AppIo): App {
  return new Gate(config, io)
}

class Gate implements App {
  readonly store: TableStore
  readonly #io: AppIo
  readonly #instanceId = randomBytes(6).toString('hex')
  readonly #started: { readonly atMs: number; readonly wallMs: number }
  readonly #leases = new Leases()
  readonly #pools: Pools
  readonly #metrics: Metrics
  readonly #emit: (event: GateEvent) => void
  readonly #send: Send
  readonly #proxy: Proxy
  readonly #realtime: Realtime
  readonly #prober: Prober
  readonly #host: EmbeddedHost
  readonly #supervisor: Supervisor
  readonly #server: GateServer
  #config: Config
  #guard: GuardPolicy
  #configState: ConfigState
  #embedded: UpstreamSpec | null = null
  #draining = false
  #closed: Promise<void> | null = null

  constructor(config: Config, io: AppIo) {
    const { clock, random } = io
    this.#io = io
    this.#config = config
    this.#guard = guardPolicyOf(config, this.#instanceId)
    this.#configState = { ok: true, error: null, shadowed: config.shadowed }
    this.#started = { atMs: clock.nowMs(), wallMs: clock.wallMs() }
    this.store = new TableStore(tableConfigOf(config, null), () => clock.nowMs())
    this.#metrics = createMetrics({
      readView: () => viewOf(this.store.current, this.#now()),
      version: io.version,
    })
    const report = (name: string, error: unknown): void =>
      io.log.note('error', 'observer_failed', `${name}: ${String(error)}`)
    const observers = [
      { name: 'metrics', observe: this.#metrics.observe },
      { name: 'log', observe: io.log.observe },
      { name: 'supervisor', observe: (event: GateEvent) => this.#supervisor.observe(event) },
    ]
    this.#emit = createFanout(observers, report).emit
    this.#send = sendVia(this.#emit)
    this.#pools = new Pools(() => clock.nowMs())
    const shared = { store: this.store, clock, random, emit: this.#emit }
    const deps = this.#proxyDeps()
    this.#proxy = new Proxy(deps)
    this.#realtime = new Realtime(deps)
    this.#prober = new Prober({
      ...shared,
      keyOf: (name) =>
        this.#config.upstreams.find(({ spec }) => spec.name === name)?.apiKey ?? null,
      connectTimeoutMs: () => this.#config.connectTimeoutMs,
      probeMaxTokens: () => this.#config.probeMaxTokens,
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
      drainMs: () => this.#config.drainMs,
      machine: io.machine ?? hostMachine(io),
      onDeath: io.onDeath,
    })
    this.#server = this.#buildServer()
  }

  async listen(): Promise<{ readonly host: string; readonly port: number }> {
    const { host, port } = this.#config
    const bound = await this.#server.listen({ host, port })
    this.#pools.sync(targetsOf(this.#config, this.#embedded))
    this.store.subscribe((now, before) => this.#changed(now, before))
    this.#supervisor.configure(plansOf(this.#config))
    this.#prober.start()
    void this.#host.start(this.#config.embedded)
    return { host, port: bound }
  }

  reload(result: ConfigResult): void {
    if (!result.ok) {
      const notes = result.issues.map((issue) => `${issue.name} ${issue.message}`)
      this.#configState = { ...this.#configState, ok: false, error: notes.join(' ') }
      return this.#emit({ type: 'config_reloaded', ok: false, notes })
    }
    const { changed, needsRestart } = diffConfig(this.#config, result.config)
    this.#config = result.config
    this.#guard = guardPolicyOf(result.config, this.#instanceId)
    this.#configState = { ok: true, error: null, shadowed: result.config.shadowed }
    this.#configure()
    this.#supervisor.configure(plansOf(result.config))
    const notes = [
      ...changed.map((name) => `${name} changed`),
      ...needsRestart.map((name) => `${name} changes at the next start`),
      ...unusedNotes(result.config),
    ]
    this.#emit({ type: 'config_reloaded', ok: true, notes })
  }

  close(options: { readonly force?: boolean } = {}): Promise<void> {
    this.#closed ??= this.#close(options.force === true ? 0 : this.#config.drainMs)
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

  #proxyDeps(): ProxyDeps {
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
      settings: () => this.#config,
      send: this.#send,
    }
  }

  #buildServer(): GateServer {
    const table = (): RoutingTable => this.store.current
    const models = (requestId: string): ModelsContext => ({
      ...this.#now(),
      requestId,
      startedWallMs: this.#started.wallMs,
    })
    return buildServer({
      clock: this.#io.clock,
      emit: this.#emit,
      send: this.#send,
      guard: (request) => checkRequest(request, this.#guard),
      connectionsMax: () => this.#config.connectionsMax,
      routes: operatorRoutes({
        version: this.#io.version,
        metrics: this.#metrics,
        status: () => statusOf(table(), this.#statusContext()),
        readiness: (query) =>
          readinessOf(table(), query, { ...this.#now(), draining: this.#draining }),
        models: (requestId) => modelsAnswer(table(), models(requestId)),
        model: (id, requestId) => modelAnswer(table(), id, models(requestId)),
      }),
      proxy: (request, response, handed, lane) =>
        this.#proxy.handle(request, response, handed, lane),
      upgrades: this.#realtime,
    })
  }

  #now(): Now {
    const { clock } = this.#io
    return {
      nowMs: clock.nowMs(),
      wallMs: clock.wallMs(),
      inFlight: (name) => this.#leases.count(name),
      engineOf: (name) => this.#supervisor.statusOf(name),
    }
  }

  #statusContext(): Parameters<typeof statusOf>[1] {
    return {
      ...this.#now(),
      startedAtMs: this.#started.atMs,
      version: this.#io.version,
      instance: this.#instanceId,
      configState: this.#configState,
      draining: this.#draining,
    }
  }

  #configure(): void {
    this.#pools.sync(targetsOf(this.#config, this.#embedded))
    const config = tableConfigOf(this.#config, this.#embedded)
    this.store.apply({ type: 'configured', at: this.#io.clock.nowMs(), config })
  }

  #setEmbedded(spec: UpstreamSpec | null): void {
    this.#embedded = spec
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
