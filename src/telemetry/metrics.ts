import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { DOUBT_CAUSES, type GateEvent } from '../core/event.ts'
import { type Entry, type RoutingTable, stateOf } from '../core/table.ts'
import { lastProofAt } from '../core/health/facts.ts'
import { ejectAfterMs, probeDeadlineMs } from '../core/health/policy.ts'
import { REASONS } from '../core/health/reason.ts'
import { PROCESS_STATES, type ProcessStatus } from '../core/owned/process.ts'
import { countEvent } from './events.ts'
import {
  type Labels,
  METRICS,
  type MetricSpec,
  type NameOf,
  NO_UPSTREAM,
  type Tally,
} from './metric-table.ts'

/** The truth that the gauges show, at the moment of a scrape. */
export interface Scraped {
  readonly table: RoutingTable
  readonly nowMs: number
  readonly wallMs: number
  readonly inFlight: (name: string) => number
  /** Absent: the gate owns no engine. */
  readonly engineOf?: (name: string) => ProcessStatus | null
}

/** The metrics of one gate. */
export interface Metrics {
  /** Counts an event. Never throws for an event that the type allows. */
  readonly observe: (event: GateEvent) => void
  /** The Prometheus text, read now. */
  readonly text: () => Promise<string>
  readonly contentType: string
}

const STATES = [...new Set(Object.values(REASONS).map((row) => row.state))]

/**
 * The metrics on their own registry, never prom-client's global one. Gauges are read when they are
 * scraped (`scrape` is called once then); what belongs to an upstream vanishes with it.
 */
export function createMetrics(scrape: () => Scraped, version: string): Metrics {
  const instruments = new Instruments()
  let scraped: Scraped | null = null
  let reloaded = true

  for (const [name, read] of PER_UPSTREAM) {
    instruments.gauge(name, () => (scraped === null ? [] : readAll(scraped, read)))
  }
  instruments.gauge('gengate_config_last_reload_successful', () => [[{}, reloaded ? 1 : 0]])
  instruments.gauge('gengate_build_info', () => [[{ version, node: process.version }, 1]])

  // Started at 0, so that `rate()` sees the first increase.
  for (const why of DOUBT_CAUSES) instruments.add('gengate_doubts_total', { why }, 0)

  return {
    contentType: instruments.contentType,
    observe(event) {
      if (event.type === 'config_reloaded') reloaded = event.ok
      countEvent(event, instruments)
    },
    async text() {
      scraped = scrape()
      instruments.keepOnly(new Set(scraped.table.entries.map(({ spec }) => spec.name)))
      return instruments.text()
    },
  }
}

type ReadGauge = (entry: Entry, scraped: Scraped) => readonly Reading[]

/** How each gauge of an upstream reads its value; the label `upstream` is put to it. */
const PER_UPSTREAM: readonly (readonly [NameOf<'gauge'>, ReadGauge])[] = [
  ['gengate_upstream_eligible', (entry) => only(stateOf(entry) === 'eligible' ? 1 : 0)],
  ['gengate_upstream_state', (entry) => oneOf(STATES, stateOf(entry))],
  ['gengate_upstream_in_flight', ({ spec }, { inFlight }) => only(inFlight(spec.name))],
  [
    'gengate_engine_state',
    ({ spec }, { engineOf }) => {
      const status = engineOf?.(spec.name) ?? null
      return status === null ? [] : oneOf(PROCESS_STATES, status.state)
    },
  ],
  [
    'gengate_probe_deadline_seconds',
    ({ facts }, { table }) => only(probeDeadlineMs(table.config.health, facts) / 1000),
  ],
  [
    'gengate_eject_after_seconds',
    ({ facts }, { table }) => only(ejectAfterMs(table.config.health, facts) / 1000),
  ],
  [
    'gengate_last_generation_timestamp_seconds',
    ({ facts }, { nowMs, wallMs }) => {
      const proofAt = lastProofAt(facts)
      return proofAt === null ? [] : only((wallMs - (nowMs - proofAt)) / 1000)
    },
  ],
]

function only(value: number): readonly Reading[] {
  return [[{}, value]]
}

function oneOf(states: readonly string[], now: string): readonly Reading[] {
  return states.map((state) => [{ state }, state === now ? 1 : 0])
}

function readAll(scraped: Scraped, read: ReadGauge): readonly Reading[] {
  return scraped.table.entries.flatMap((entry) =>
    read(entry, scraped).map(([labels, value]): Reading => {
      return [{ upstream: entry.spec.name, ...labels }, value]
    }),
  )
}

/** One value of a gauge at the moment of a scrape. */
type Reading = readonly [Labels, number]

/**
 * The instruments of the table on a registry of their own, never prom-client's global one. The
 * only file that imports prom-client.
 */
class Instruments implements Tally {
  readonly #registry = new Registry()
  readonly #counters = new Map<string, Counter>()
  readonly #histograms = new Map<string, Histogram>()
  /** Everything that belongs to one upstream, so that it can go when the upstream goes. */
  readonly #owned = new Map<string, Owned>()

  constructor() {
    collectDefaultMetrics({ register: this.#registry })
    for (const [name, spec] of Object.entries(TABLE)) {
      const common = {
        name,
        help: spec.help,
        labelNames: [...spec.labels],
        registers: [this.#registry],
      }
      if (spec.kind === 'counter') this.#counters.set(name, new Counter(common))
      if (spec.kind === 'histogram') {
        const buckets = [...(spec.buckets ?? [])]
        this.#histograms.set(name, new Histogram({ ...common, buckets }))
      }
    }
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }

  /** A gauge that reads the truth at every scrape; series that `read` leaves out are gone. */
  gauge(name: NameOf<'gauge'>, read: () => readonly Reading[]): void {
    const { help, labels } = METRICS[name]
    const gauge = new Gauge({
      name,
      help,
      labelNames: [...labels],
      registers: [],
      collect() {
        this.reset()
        for (const [values, value] of read()) this.set(values, value)
      },
    })
    this.#registry.registerMetric(gauge)
  }

  add(name: NameOf<'counter'>, labels: Labels, value = 1): void {
    this.#add(name, labels, value)
  }

  /** Bound once per upstream: gaps between tokens come in thousands a second. */
  observe(name: NameOf<'histogram'>, upstream: string, ms: number): void {
    const { bound } = this.#ownedBy(upstream)
    let child = bound.get(name)
    if (child === undefined) {
      child = this.#histograms.get(name)?.labels({ upstream })
      if (child === undefined) return
      bound.set(name, child)
    }
    child.observe(ms / 1000)
  }

  /** Drops every series of upstreams that are gone, and starts the counters of new ones at 0, so
   *  that `rate()` sees their first increase. */
  keepOnly(upstreams: ReadonlySet<string>): void {
    for (const [upstream, { counted, bound }] of this.#owned) {
      if (upstream === NO_UPSTREAM || upstreams.has(upstream)) continue
      for (const { name, labels } of counted.values()) this.#counters.get(name)?.remove(labels)
      for (const name of bound.keys()) this.#histograms.get(name)?.remove({ upstream })
      this.#owned.delete(upstream)
    }
    for (const upstream of upstreams) {
      for (const [name, { kind, labels }] of Object.entries(TABLE)) {
        if (kind === 'counter' && labels.length === 1 && labels[0] === 'upstream') {
          this.#add(name, { upstream }, 0)
        }
      }
    }
  }

  #add(name: string, labels: Labels, value: number): void {
    const upstream = labels['upstream']
    if (upstream === undefined) return this.#counters.get(name)?.inc(labels, value)
    const { counted } = this.#ownedBy(upstream)
    const series = `${name} ${Object.values(labels).join(' ')}`
    let one = counted.get(series)
    if (one === undefined) {
      const child = this.#counters.get(name)?.labels(labels)
      if (child === undefined) return
      one = { name, labels, child }
      counted.set(series, one)
    }
    one.child.inc(value)
  }

  #ownedBy(upstream: string): Owned {
    let owned = this.#owned.get(upstream)
    if (owned === undefined) {
      owned = { counted: new Map(), bound: new Map() }
      this.#owned.set(upstream, owned)
    }
    return owned
  }
}

interface Owned {
  readonly counted: Map<string, Series>
  readonly bound: Map<NameOf<'histogram'>, { observe(seconds: number): void }>
}

/** One series of a counter, bound once: looking its labels up costs more than counting. */
interface Series {
  readonly name: string
  readonly labels: Labels
  readonly child: { inc(value: number): void }
}

/** The table with its literal types forgotten. */
const TABLE: Readonly<Record<string, MetricSpec>> = METRICS
