import { NO_FACTS, type WorkFacts } from '../core/health/facts.ts'
import type { OtherWork } from '../core/model/listed-model.ts'
import type { EvidenceReason } from '../core/health/reason.ts'
import { emptyTable, nextTable, type RoutingTable, type TableConfig } from '../core/table.ts'
import type { Entry } from '../core/entry.ts'
import type { UpstreamSpec } from '../core/upstream.ts'
import { parseIso } from '../runtime/clock.ts'
import { type GateStatus, isReason, type UpstreamStatus } from './gate-status.ts'

/**
 * The running gate's routing table, as far as its status shows it: enough for `decide` to choose
 * here what it chooses there, with wall-clock ms as its time. The evidence behind the reasons is
 * missing. Pure.
 */
export function tableOf(status: GateStatus): RoutingTable {
  const config: TableConfig = {
    specs: status.upstreams.map(specOf),
    // Routing reads none of it: it is what the reasons were found by.
    health: { detectWithinMs: 0, intervalMs: 0, quietIntervalMs: 0 },
    routing: status.policy,
    models: status.groups,
  }
  const table = nextTable(emptyTable(config), { type: 'configured', at: 0, config })
  return {
    ...table,
    entries: table.entries.map((entry, index) => {
      const upstream = status.upstreams[index]
      return upstream === undefined ? entry : shown(entry, upstream)
    }),
  }
}

function specOf(upstream: UpstreamStatus): UpstreamSpec {
  const { name, engine, url, model, intent, probe, cold, swaps, maxConcurrency } = upstream
  const spec = { name, engine, url, model, intent, probe, cold, swaps, maxConcurrency }
  return { ...spec, streamEnd: 'auto', quietIntervalMs: 0 }
}

/** A request may wait for its start. */
const WAKING = { phase: 'waking', at: 0, heard: null } as const

/** The entry with what the status says of it. */
function shown(entry: Entry, upstream: UpstreamStatus): Entry {
  const { proven, modelsListed, details, loaded, loadedAt, provenModels, admittedAt } = upstream
  const workOf = (work: OtherWork): WorkFacts => {
    return { ...NO_FACTS.works[work], doneAt: upstream.done.includes(work) ? 0 : null }
  }
  return {
    ...entry,
    works: upstream.works,
    facts: {
      ...NO_FACTS,
      works: { embedding: workOf('embedding'), rerank: workOf('rerank') },
      failure: upstream.halfOpen ? { reason: 'refused', at: 0 } : null,
      passAt: proven ? 0 : null,
      models: modelsListed ? details : null,
      loaded,
      loadedAt: loadedAt === null ? 0 : parseIso(loadedAt),
      proven: provenModels.map(({ name, at }) => ({
        model: name,
        at: at === null ? 0 : parseIso(at),
      })),
      loadsNothing: upstream.loadsNothing,
      process: upstream.process?.startOnDemand === true ? WAKING : null,
    },
    reason: evidenceReason(upstream),
    admittedAt: admittedAt === null ? null : parseIso(admittedAt),
  }
}

/** Where the intent hides the evidence, it does not matter what that is; a reason that only a newer
 *  gate knows is as good as its `eligible`. */
function evidenceReason({ reason, eligible }: UpstreamStatus): EvidenceReason {
  if (isReason(reason) && reason !== 'draining' && reason !== 'disabled') return reason
  return eligible ? 'ok' : 'stale'
}
