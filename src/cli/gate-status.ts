import { REASONS, type Reason } from '../core/reason.ts'
import { isRecord } from '../engines/engine-error.ts'

/** One upstream as the running gate shows it; the fields that the command line reads. */
export interface UpstreamStatus {
  readonly name: string
  readonly engine: string
  readonly url: string
  readonly intent: string
  readonly eligible: boolean
  readonly state: string
  readonly reason: string
  /** ISO time, or null. */
  readonly since: string | null
  readonly hint: string
  readonly inFlight: number
  readonly models: readonly string[]
}

/** `GET /gate/status` (design §7): fields are added, never changed, so others are ignored. */
export interface GateStatus {
  readonly version: string
  readonly uptimeS: number
  readonly configError: string | null
  readonly shadowed: readonly string[]
  readonly upstreams: readonly UpstreamStatus[]
}

/** Parses the document; null: whoever answered is no gengate. Pure. */
export function parseGateStatus(document: unknown): GateStatus | null {
  if (!isRecord(document)) return null
  const { version, uptime_s: uptimeS, config, upstreams } = document
  if (typeof version !== 'string' || typeof uptimeS !== 'number') return null
  if (!Array.isArray(upstreams)) return null
  return {
    version,
    uptimeS,
    configError: isRecord(config) ? textOf(config, 'error') : null,
    shadowed: isRecord(config) ? strings(config['shadowed']) : [],
    upstreams: upstreams.flatMap((row) => parseUpstream(row) ?? []),
  }
}

function parseUpstream(row: unknown): UpstreamStatus | null {
  const name = isRecord(row) ? textOf(row, 'name') : null
  if (!isRecord(row) || name === null) return null
  return {
    name,
    engine: textOf(row, 'engine') ?? '',
    url: textOf(row, 'url') ?? '',
    intent: textOf(row, 'intent') ?? '',
    eligible: row['eligible'] === true,
    state: textOf(row, 'state') ?? 'unknown',
    reason: textOf(row, 'reason') ?? 'not_probed_yet',
    since: textOf(row, 'since'),
    hint: textOf(row, 'hint') ?? '',
    inFlight: typeof row['in_flight'] === 'number' ? row['in_flight'] : 0,
    models: strings(row['models']),
  }
}

function strings(value: unknown): string[] {
  if (!Array.isArray(value)) return []
  return value.flatMap((item: unknown) => (typeof item === 'string' ? [item] : []))
}

function textOf(record: Readonly<Record<string, unknown>>, key: string): string | null {
  const value = record[key]
  return typeof value === 'string' ? value : null
}

/** Is this a reason of ours? A newer gate may know more. */
export function isReason(word: string): word is Reason {
  return Object.hasOwn(REASONS, word)
}
