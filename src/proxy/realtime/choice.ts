import { reasonsText, retryAfterMs } from '../../core/explain.ts'
import { decide } from '../../core/route.ts'
import type { Entry } from '../../core/table.ts'
import { noRouteText, startOf } from '../../core/exchange/next.ts'
import { ENGINES_WITH } from '../../engines/index.ts'
import { type Answer, errorAnswer } from '../../errors/answer.ts'
import type { ErrorCode } from '../../errors/catalogue.ts'
import type { ProxyDeps } from '../deps.ts'
import { report } from '../drive.ts'
import { REALTIME_PATH } from '../../api/index.ts'
import type { Pool } from '../upstream/pools.ts'

/** The model's name comes in a frame, if at all: it cannot choose the upstream. */
const able = ENGINES_WITH.get('realtime')
const REQUEST = { model: null, able, exact: true }
const NO_ROUTE = noRouteText(able, REALTIME_PATH)

/** Why a handshake gets no socket. */
export interface Why {
  readonly code: ErrorCode
  /** Absent: what the table says. */
  readonly detail?: string
}

type Deps = Pick<ProxyDeps, 'store' | 'pools' | 'leases' | 'clock'>

/** Where the next socket goes, or why it goes nowhere. A handshake is never held. */
export function choose(
  deps: Deps,
  tried: readonly string[] = [],
): { readonly entry: Entry; readonly pool: Pool } | Why {
  const { store, leases, pools } = deps
  const next = decide(store.current, { ...REQUEST, tried }, (name) => leases.count(name))
  switch (next.kind) {
    case 'forward': {
      const { spec, epoch } = next.entry
      const start = startOf(next.entry, deps.clock.nowMs())
      for (const evidence of start ?? []) report(deps, { upstream: spec.name, epoch }, evidence)
      if (start !== null) return { code: 'upstream_starting' }
      const pool = pools.get(spec.name)
      return pool === undefined ? { code: 'no_eligible_upstream' } : { entry: next.entry, pool }
    }
    case 'wait_for_slot':
      return { code: 'queue_full' }
    case 'hold':
      return { code: next.starting ? 'upstream_starting' : 'no_eligible_upstream' }
    case 'no_route':
      return { code: 'not_found' }
    case 'unknown_model':
    case 'model_required':
    case 'exhausted':
      return { code: 'no_eligible_upstream' }
  }
}

/** The answer that says why. */
export function answerOf(deps: Deps, { code, detail }: Why, requestId: string): Answer {
  const table = deps.store.current
  const nowMs = deps.clock.nowMs()
  const told = code === 'not_found' ? NO_ROUTE : (detail ?? reasonsText(table, nowMs))
  return errorAnswer(code, { requestId, detail: told, retryAfterMs: retryAfterMs(table, nowMs) })
}
