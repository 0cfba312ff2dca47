import { z } from 'zod'
import { durationText } from '../core/explain.ts'
import {
  emptyTable,
  type Entry,
  nextTable,
  type RoutingTable,
  type TableConfig,
} from '../core/table.ts'
import { servesOf } from '../core/route.ts'
import { NO_FACTS, type WorkFacts } from '../core/health/facts.ts'
import { type EvidenceReason, isEvidence, type Reason, REASONS } from '../core/health/reason.ts'
import { type ListedModel, type OtherWork, plainModel } from '../core/model/model-choice.ts'
import {
  COLD_POLICIES,
  INTENT_NAMES,
  PLAIN_SPEC,
  PROBE_MODES,
  SWAP_POLICIES,
} from '../core/upstream.ts'
import { ENGINE_KINDS } from '../engines/index.ts'
import { parseIso } from '../runtime/clock.ts'

// The document of `GET /gate/status` (src/operator/status.ts says what its fields mean): they are added,
// never changed (docs/decisions/0022), so others are ignored. What an older or newer gate says otherwise
// becomes the default of the setting.

const flag = z.boolean().catch(false)
const count = z.number().catch(0)
const text = z.string().catch('')
const maybe = z.string().nullable().catch(null)
const texts = rowsOf(z.string())
const verdict = z.enum(['proven', 'unproven', 'failing']).catch('unproven')
const works = z.object({ embedding: verdict, rerank: verdict })
const doneAt = z.object({ embedding: maybe, rerank: maybe })

const model = z
  .object({
    id: z.string(),
    aliases: texts,
    work: z.enum(['embedding', 'rerank', 'generation', 'other']).nullable().catch(null),
    local: z.boolean().catch(true),
    size_bytes: z.number().nullable().catch(null),
    owned_by: z.unknown().optional(),
  })
  .transform(({ size_bytes: sizeBytes, owned_by, ...row }): ListedModel => {
    return { ...row, sizeBytes, fields: { owned_by } }
  })

/** The process of an engine that the gate owns. */
const engine = z.object({
  state: z.string(),
  since: maybe,
  pid: z.number().nullable().catch(null),
  program: text,
  start_on_demand: flag,
  restarts: count,
  /** Ends in the last hour that count towards the cap. */
  restarts_last_hour: count,
  last_end: z.object({ reason: z.string(), at: maybe, how: z.string() }).nullable().catch(null),
  next_start_at: maybe,
  log: maybe,
  note: text,
})

const upstream = z
  .object({
    name: z.string(),
    engine: z.enum(ENGINE_KINDS).catch('openai'),
    url: text,
    intent: z.enum(INTENT_NAMES).catch('enabled'),
    eligible: flag,
    state: z.string().catch('unknown'),
    reason: z.string().catch('not_probed_yet'),
    since: maybe,
    hint: text,
    said: maybe,
    works: works.catch({ embedding: 'unproven', rerank: 'unproven' }),
    last_done_at: doneAt.catch({ embedding: null, rerank: null }),
    last_generation_at: maybe,
    half_open: flag,
    admitted_at: maybe,
    in_flight: count,
    models: texts,
    models_listed: z.boolean().nullable().catch(null),
    /** Null: an older gate, which tells the names alone. */
    model_details: rowsOrNull(model),
    loaded: rowsOrNull(z.string()),
    loaded_at: maybe,
    proven_models: rowsOf(z.object({ name: z.string(), at: maybe })),
    swaps: z.enum(SWAP_POLICIES).catch('auto'),
    model: maybe,
    probe: z.enum(PROBE_MODES).catch('active'),
    cold: z.enum(COLD_POLICIES).catch('on_demand'),
    loads_nothing: flag,
    max_concurrency: z.number().nullable().catch(null),
    process: engine.nullable().catch(null),
  })
  .transform((row) => ({ ...row, models_listed: row.models_listed ?? row.models.length > 0 }))

const member = z.object({ upstream: z.string(), model: z.string() })
const group = z.object({
  public: z.string(),
  members: z.array(z.unknown()).transform((rows) => readable(member, rows)),
})

const gate = z.object({
  version: z.string(),
  uptime_s: z.number(),
  draining: flag,
  policy: z.enum(['priority', 'least_busy']).catch('priority'),
  groups: rowsOrNull(group),
  config: z.object({ error: maybe, shadowed: texts }).catch({ error: null, shadowed: [] }),
  upstreams: z.array(z.unknown()).transform((rows) => readable(upstream, rows)),
})

/** What a running gate shows. */
export type GateStatus = z.infer<typeof gate>
/** One upstream of it. */
export type UpstreamStatus = z.infer<typeof upstream>
/** The process of its engine. */
export type EngineStatus = z.infer<typeof engine>

/** What can be read of a list, item by item. */
function rowsOf<Row>(row: z.ZodType<Row>): z.ZodType<Row[]> {
  return rowsOrNull(row).transform((rows) => rows ?? [])
}

/** The same; null: it is no list. */
function rowsOrNull<Row>(row: z.ZodType<Row>): z.ZodType<Row[] | null> {
  return z
    .unknown()
    .optional()
    .transform((value) => (Array.isArray(value) ? readable(row, value) : null))
}

function readable<Row>(row: z.ZodType<Row>, items: readonly unknown[]): Row[] {
  return items.flatMap((item) => {
    const read = row.safeParse(item)
    return read.success ? [read.data] : []
  })
}

/** Parses the document; null: what answered is not gengate. Pure. */
export function parseGateStatus(document: unknown): GateStatus | null {
  return gate.safeParse(document).data ?? null
}

/**
 * The running gate's routing table, as far as its status shows it: enough for `decide` to choose
 * here what it chooses there, with wall-clock ms as its time. The evidence behind the reasons is
 * missing. Pure.
 */
export function tableOf({ upstreams, policy, groups }: GateStatus): RoutingTable {
  const config: TableConfig = {
    specs: upstreams.map(({ max_concurrency: maxConcurrency, ...row }) => {
      const { name, engine: kind, url, model: chosen, intent, probe, cold, swaps } = row
      const spec = { name, engine: kind, url, model: chosen, intent, probe, cold, swaps }
      return { ...PLAIN_SPEC, ...spec, maxConcurrency }
    }),
    // Routing reads none of it: it is what the reasons were found by.
    health: { detectWithinMs: 0, intervalMs: 0, quietIntervalMs: 0 },
    routing: policy,
    models: groups,
  }
  const table = nextTable(emptyTable(config), { type: 'configured', at: 0, config })
  return {
    ...table,
    entries: table.entries.map((entry, index) => {
      const row = upstreams[index]
      return row === undefined ? entry : shown(entry, row)
    }),
  }
}

/** Names of the upstreams that the document shows as servable. Pure. */
export function servableOf(status: GateStatus): ReadonlySet<string> {
  const serving = tableOf(status).entries.filter((entry) => servesOf(entry) !== 'no')
  return new Set(serving.map(({ spec }) => spec.name))
}

/** A request may wait for its start. */
const WAKING = { phase: 'waking', at: 0, heard: null } as const

/** The entry with what the status says of it. */
function shown(entry: Entry, row: UpstreamStatus): Entry {
  const workOf = (work: OtherWork): WorkFacts => {
    return { ...NO_FACTS.works[work], doneAt: row.last_done_at[work] === null ? null : 0 }
  }
  const models = row.model_details ?? row.models.map(plainModel)
  return {
    ...entry,
    works: row.works,
    facts: {
      ...NO_FACTS,
      works: { embedding: workOf('embedding'), rerank: workOf('rerank') },
      failure: row.half_open ? { reason: 'refused', at: 0 } : null,
      passAt: row.last_generation_at === null ? null : 0,
      models: row.models_listed ? models : null,
      loaded: row.loaded,
      loadedAt: msOf(row.loaded_at),
      proven: row.proven_models.map((one) => ({ model: one.name, at: msOf(one.at) })),
      loadsNothing: row.loads_nothing,
      process: row.process?.start_on_demand === true ? WAKING : null,
    },
    reason: evidenceReason(row),
    admittedAt: row.admitted_at === null ? null : parseIso(row.admitted_at),
  }
}

/** Wall-clock ms; 0: never, or an older gate. */
function msOf(iso: string | null): number {
  return iso === null ? 0 : parseIso(iso)
}

/** Where the intent hides the evidence, it does not matter what that is; a reason that only a newer
 *  gate knows is as good as its `eligible`. */
function evidenceReason({ reason, eligible }: UpstreamStatus): EvidenceReason {
  if (isEvidence(reason)) return reason
  return eligible ? 'ok' : 'stale'
}

/** How long that is ago; null: nobody says. Pure. */
export function agoText(iso: string | null, wallMs: number): string | null {
  const at = iso === null ? Number.NaN : parseIso(iso)
  return Number.isNaN(at) ? null : durationText(wallMs - at)
}

/** Is this a reason of ours? A newer gate may know more. */
export function isReason(word: string): word is Reason {
  return Object.hasOwn(REASONS, word)
}
