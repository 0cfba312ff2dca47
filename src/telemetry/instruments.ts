import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { METRICS, type MetricName, type MetricSpec, NO_UPSTREAM } from './metric-table.ts'

/** Label names and values of one series. */
export type Labels = Readonly<Record<string, string>>

/** One value of a gauge at the moment of a scrape. */
export type Reading = readonly [Labels, number]

type NameOf<Kind extends MetricSpec['kind']> = {
  [Name in MetricName]: (typeof METRICS)[Name]['kind'] extends Kind ? Name : never
}[MetricName]

/**
 * The instruments of the table on a registry of their own, never prom-client's global one. The
 * only file that imports prom-client.
 */
export class Instruments {
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

  /** Observes seconds. Bound once per upstream: gaps between tokens come in thousands a second. */
  observe(name: NameOf<'histogram'>, upstream: string, seconds: number): void {
    const { bound } = this.#ownedBy(upstream)
    let child = bound.get(name)
    if (child === undefined) {
      child = this.#histograms.get(name)?.labels({ upstream })
      if (child === undefined) return
      bound.set(name, child)
    }
    child.observe(seconds)
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
