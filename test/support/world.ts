import type { Evidence } from '../../src/core/health/evidence.ts'
import type { EvidenceReason } from '../../src/core/health/reason.ts'
import {
  emptyTable,
  type Entry,
  nextTable,
  type RoutingTable,
  type TableConfig,
} from '../../src/core/table.ts'
import { PLAIN_SPEC, type UpstreamSpec } from '../../src/core/upstream.ts'

/** An upstream as a test wants it; everything not named is ordinary. */
export function spec(over: Partial<UpstreamSpec> = {}): UpstreamSpec {
  return { ...PLAIN_SPEC, name: 'a', engine: 'vllm', url: 'http://127.0.0.1:9', ...over }
}

export function tableConfig(over: Partial<TableConfig> = {}): TableConfig {
  return {
    specs: [spec({ name: 'a' }), spec({ name: 'b', url: 'http://127.0.0.1:10' })],
    health: { detectWithinMs: 4_000, intervalMs: 2_000, quietIntervalMs: 60_000 },
    routing: 'priority',
    models: null,
    ...over,
  }
}

/** A table under a hand-driven clock: evidence in, reasons out. */
export class World {
  table: RoutingTable
  now = 0

  constructor(config: TableConfig = tableConfig()) {
    this.table = nextTable(emptyTable(config), { type: 'configured', at: 0, config })
  }

  at(ms: number): this {
    // Time alone may change verdicts: settle at every instant at which it does.
    while (this.table.wakeAt <= ms) {
      const wake = this.table.wakeAt
      this.now = wake
      this.table = nextTable(this.table, { type: 'tick', at: wake })
      if (this.table.wakeAt <= wake) throw new Error(`no progress at ${wake}`)
    }
    this.now = ms
    this.table = nextTable(this.table, { type: 'tick', at: ms })
    return this
  }

  tell(name: string, evidence: Evidence, epoch = this.entry(name).epoch): this {
    this.table = nextTable(this.table, { type: 'evidence', name, epoch, evidence })
    return this
  }

  configure(config: TableConfig): this {
    this.table = nextTable(this.table, { type: 'configured', at: this.now, config })
    return this
  }

  /** A probe that passed at once. */
  pass(name: string, latencyMs = 50): this {
    this.tell(name, { type: 'probe_sent', at: this.now })
    const outcome = { kind: 'pass', latencyMs, tokens: 1 } as const
    return this.tell(name, { type: 'probe_ended', at: this.now, outcome })
  }

  sent(name: string): this {
    return this.tell(name, { type: 'probe_sent', at: this.now })
  }

  progress(name: string): this {
    return this.tell(name, { type: 'progress', at: this.now, gapMs: 50 })
  }

  active(): this {
    this.table = nextTable(this.table, { type: 'client_active', at: this.now })
    return this
  }

  entry(name: string): Entry {
    const entry = this.table.entries.find((candidate) => candidate.spec.name === name)
    if (entry === undefined) throw new Error(`no upstream ${name}`)
    return entry
  }

  reason(name: string): EvidenceReason {
    return this.entry(name).reason
  }
}
