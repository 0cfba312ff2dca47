import { generates } from '../core/model/listed-model.ts'
import { listedModels } from '../engines/model-list.ts'
import { type OnceCall, probeOnce as once } from '../probe/once.ts'
import { fetchJson, runProbe, type Wire } from '../probe/run.ts'
import type { Clock } from '../runtime/clock.ts'
import { type GateRefusal, gateRefusal } from './gate-refusal.ts'
import type { ProbeFinding, ProbeTarget } from './probe-artefact.ts'

/** A server that generates lists its models at once; one that hangs here is probed all the same. */
const LIST_LIMIT_MS = 2_000

interface ProbeOnceDeps {
  readonly clock: Clock
  /** Gives it up; absent: nothing does. */
  readonly signal?: AbortSignal
}

/**
 * One look at one server, without a gate. A configured upstream is probed as the prober would: it
 * is never made to load a model. Elsewhere the first model listed that may chat is asked for, as
 * clients do it. Never rejects.
 */
export async function probeOnce(
  target: ProbeTarget,
  timeoutMs: number,
  { clock, signal = new AbortController().signal }: ProbeOnceDeps,
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
  const listing = await fetchJson({
    ...call,
    path,
    limitMs: Math.min(LIST_LIMIT_MS, call.limitMs),
  })
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
