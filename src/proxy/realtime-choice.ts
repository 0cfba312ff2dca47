import { reasonsText, retryAfterMs } from '../core/explain.ts'
import { decide } from '../core/route.ts'
import type { Entry } from '../core/table.ts'
import { enginesWith, noRouteText } from '../engines/index.ts'
import { type Answer, errorAnswer } from '../errors/answer.ts'
import type { ErrorCode } from '../errors/catalogue.ts'
import type { ProxyDeps } from './deps.ts'
import { REALTIME_PATH } from './guard-upgrade.ts'
import { startFor } from './hold.ts'
import type { Pool } from './pools.ts'

/** The model's name comes in a frame, if at all: it cannot choose the upstream. */
const REQUEST = { model: null, tried: [], engines: enginesWith('realtime'), exact: true }
const NO_ROUTE = noRouteText('realtime', REALTIME_PATH)

type Deps = Pick<ProxyDeps, 'store' | 'pools' | 'leases' | 'clock'>

/** Where the next socket goes, or why it goes nowhere. A handshake is never held. */
export function choose(
  deps: Deps,
): { readonly entry: Entry; readonly pool: Pool } | { readonly code: ErrorCode } {
  const { store, leases, pools } = deps
  const next = decide(store.current, REQUEST, (name) => leases.count(name))
  switch (next.kind) {
    case 'forward': {
      if (startFor(next.entry, deps) !== null) return { code: 'upstream_starting' }
      const pool = pools.get(next.entry.spec.name)
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

/** The answer to a handshake that gets no socket now; null: it gets one. */
export function refusalOf(deps: Deps, closing: boolean, requestId: string): Answer | null {
  const choice = closing ? { code: 'gate_draining' as const } : choose(deps)
  if (!('code' in choice)) return null
  const table = deps.store.current
  const nowMs = deps.clock.nowMs()
  const detail = choice.code === 'not_found' ? NO_ROUTE : reasonsText(table, nowMs)
  return errorAnswer(choice.code, { requestId, detail, retryAfterMs: retryAfterMs(table, nowMs) })
}
