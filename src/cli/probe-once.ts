import type { ProbeOutcome } from '../core/health/evidence.ts'
import { generates } from '../core/model/model-choice.ts'
import type { EngineKind } from '../core/upstream.ts'
import { engineError } from '../api/answer.ts'
import { listedModels } from '../engines/model-list.ts'
import { type ErrorCode, ERRORS } from '../errors/catalogue.ts'
import { type OnceCall, probeOnce as once } from '../probe/round.ts'
import { fetchJson } from '../probe/wire.ts'
import { runProbe, type Wire } from '../probe/generate.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Place } from './gate-client.ts'

/** Whom a probe asks. */
export interface ProbeTarget extends Place {
  /** Name of the configured upstream; null: an address that somebody gave. */
  readonly upstream: string | null
  readonly engine: EngineKind
  readonly model: string | null
}

/** What one probe found. */
export interface ProbeFinding {
  readonly target: ProbeTarget
  /** Model names that it lists; null: the listing failed. */
  readonly models: readonly string[] | null
  readonly outcome: ProbeOutcome
  /** A gate's own refusal, which says more than the outcome; absent: none came. */
  readonly refusal?: GateRefusal
  /** When it ended, wall-clock ms. */
  readonly endedAtMs: number
}

/** Sends one generation to a target; every ending is a value. `signal` gives it up. */
export type ProbeOnce = (
  target: ProbeTarget,
  timeoutMs: number,
  signal?: AbortSignal,
) => Promise<ProbeFinding>

/** A server that generates lists its models at once; one that hangs here is probed all the same. */
const LIST_LIMIT_MS = 2_000

/**
 * One look at one server, without a gate. A configured upstream is probed as the prober would: it
 * is never made to load a model. Elsewhere the first model listed that may chat is asked for, as
 * clients do it. Never rejects.
 */
export async function probeOnce(
  target: ProbeTarget,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal = new AbortController().signal,
): Promise<ProbeFinding> {
  const call: OnceCall = {
    target: { url: target.url, apiKey: target.apiKey, connectTimeoutMs: timeoutMs },
    engine: target.engine,
    model: target.model,
    maxTokens: 1,
    limitMs: timeoutMs,
    clock,
    signal,
  }
  const asked = target.upstream === null && target.model === null ? await withFirst(call) : call
  let refusal: GateRefusal | null = null
  const wire: Wire = {
    get: fetchJson,
    ...asked.wire,
    probe: (probed) =>
      runProbe({
        ...probed,
        onRefusal: (status, body) => {
          refusal = gateRefusal(status, body)
          probed.onRefusal?.(status, body)
        },
      }),
  }
  const { outcome, models } = await once({ ...asked, wire })
  const found = { target, models, outcome, endedAtMs: clock.wallMs() }
  return refusal === null || outcome.kind === 'pass' ? found : { ...found, refusal }
}

/** The same call with the first model that is listed, and that list instead of a second one. */
async function withFirst(call: OnceCall): Promise<OnceCall> {
  const path = '/v1/models'
  const limitMs = Math.min(LIST_LIMIT_MS, call.limitMs)
  const listing = await fetchJson({ ...call, path, limitMs })
  const told = listing.kind === 'answer' && listing.status === 200
  const models = (told ? listedModels(listing.body) : null) ?? []
  return {
    ...call,
    model: (models.find(generates) ?? models[0])?.id ?? null,
    wire: {
      probe: runProbe,
      get: (query) => (query.path === path ? Promise.resolve(listing) : fetchJson(query)),
    },
  }
}

/** A 503 that a gate made itself: it names what no engine behind it could say. */
export interface GateRefusal {
  readonly code: ErrorCode
  /** Its own sentence, with the reason per upstream. */
  readonly message: string
}

/** The codes by which a gate says that nothing behind it generates, not that it has much to do. */
const NOTHING_GENERATES: ReadonlySet<ErrorCode> = new Set([
  'no_eligible_upstream',
  'upstream_starting',
])

/** Reads a refusal; null: the 503 comes from an engine, not from a gate. Pure. */
function gateRefusal(status: number, body: unknown): GateRefusal | null {
  const error = status === 503 ? engineError(body) : null
  if (error === null || !isOwnCode(error.code)) return null
  return { code: error.code, message: error.message }
}

/** One sentence of ours, then the gate's own. Pure. */
export function refusalText({ code, message }: GateRefusal): string {
  const said = NOTHING_GENERATES.has(code)
    ? 'the gate there has no upstream that generates.'
    : 'the gate there refuses.'
  return `${code}: ${said} ${message}`.trimEnd()
}

function isOwnCode(code: string): code is ErrorCode {
  return Object.entries(ERRORS).some(([own, { status }]) => own === code && status === 503)
}
