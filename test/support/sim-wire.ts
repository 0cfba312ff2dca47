import type { FailReason, ProbeOutcome } from '../../src/core/health/evidence.ts'
import type { FetchCall, Fetched } from '../../src/probe/wire.ts'
import type { ProbeCall, Wire } from '../../src/probe/generate.ts'
import type { Engine, Fault, JobFailure } from './sim-engine.ts'

/** Nobody listens. */
const DEAF: ReadonlySet<Fault> = new Set(['refused', 'gone', 'closing'])
/** Bytes of a probe's body. */
const PROBE_BYTES = 90
/** A late timer gives an answer this long to be read, as `src/probe/wire.ts` does, ms. */
const GRACE_MS = 250

const REASON_OF: Readonly<Record<Exclude<JobFailure, 'busy'>, FailReason>> = {
  refused: 'refused',
  unreachable: 'unreachable',
  http_5xx: 'http_5xx',
  error_body: 'invalid_response',
  truncated: 'truncated',
  reset: 'unreachable',
  loading: 'loading',
}

export interface WireEars {
  onProbe(url: string): void
  onOutcome(url: string, outcome: ProbeOutcome): void
}

/** The network of the prober: every probe is a job of the engine at that address. */
export function simWire(engineAt: (url: string) => Engine | undefined, ears: WireEars): Wire {
  return {
    probe: (call) => probe(engineAt(call.target.url), call, ears),
    get: (call) => get(engineAt(call.target.url), call),
  }
}

function probe(engine: Engine | undefined, call: ProbeCall, ears: WireEars): Promise<ProbeOutcome> {
  const { url } = call.target
  return new Promise((resolve) => {
    const sentAt = call.clock.nowMs()
    ears.onProbe(url)
    call.onSent()
    const end = (outcome: ProbeOutcome): void => {
      cancel()
      leave()
      call.signal.removeEventListener('abort', abort)
      ears.onOutcome(url, outcome)
      resolve(outcome)
    }
    const fail = (why: JobFailure): void =>
      end(
        why === 'busy'
          ? { kind: 'busy', detail: 'http_503' }
          : { kind: 'fail', reason: REASON_OF[why], detail: why },
      )
    const leave =
      engine?.submit(
        { bytes: PROBE_BYTES, tokens: call.maxTokens, streamed: false },
        {
          token: () => {},
          end: () => end({ kind: 'pass', latencyMs: call.clock.nowMs() - sentAt, tokens: 1 }),
          fail,
        },
      ) ?? ((): void => {})
    const abort = (): void => end({ kind: 'inconclusive', detail: 'ABORTED' })
    const expire = (): void => end({ kind: 'timeout', limitMs: call.limitMs })
    let cancel = call.clock.after(call.limitMs, () => {
      if (call.clock.nowMs() - sentAt - call.limitMs > GRACE_MS) {
        cancel = call.clock.after(GRACE_MS, expire)
      } else expire()
    })
    call.signal.addEventListener('abort', abort)
  })
}

/** Lists answer also while every generation hangs; that is the point of the whole project. */
function get(engine: Engine | undefined, call: FetchCall): Promise<Fetched> {
  if (engine === undefined || DEAF.has(engine.fault)) {
    return Promise.resolve({ kind: 'broken', code: 'ECONNREFUSED', phase: 'connect' })
  }
  if (engine.fault === 'loading') {
    const body = { error: { message: 'Loading model', code: 503 } }
    return Promise.resolve({ kind: 'answer', status: 503, body })
  }
  const body =
    call.path === '/api/ps'
      ? { models: engine.loaded ? [{ name: 'm' }] : [] }
      : { data: [{ id: 'm' }] }
  return Promise.resolve({ kind: 'answer', status: 200, body })
}
