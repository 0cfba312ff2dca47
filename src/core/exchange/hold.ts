import type { Evidence } from '../health/evidence.ts'
import { needsStart } from '../health/facts.ts'
import type { RouteDecision } from '../route.ts'
import type { Entry } from '../entry.ts'
import type { EndCode } from './ending.ts'

/** While nothing has been judged yet, a request waits for the first verdict, at most so long. */
const STARTING_MS_MAX = 10_000
/** A request waits for a slot at most so long. */
const QUEUE_MS_MAX = 60_000
/** A request waits for the start of its engine at most so long: vLLM on two busy cores was seen to
 *  take more than 200 s. */
const START_MS_MAX = 300_000
/** Requests that wait for a slot or for an upstream at once. */
export const WAITING_MAX = 1_024

/** Why a request cannot go on. `start`: its engine is being started for it. */
export type Blocked =
  | Extract<RouteDecision, { kind: 'hold' | 'wait_for_slot' }>
  | { readonly kind: 'start' }

/** How long a request may wait, counted from its arrival, and the error after that. Pure. */
export function limitOf(why: Blocked, holdMs: number): { limitMs: number; code: EndCode } {
  if (why.kind === 'wait_for_slot') return { limitMs: QUEUE_MS_MAX, code: 'queue_timeout' }
  if (why.kind === 'start') return { limitMs: START_MS_MAX, code: 'upstream_starting' }
  if (why.starting) return { limitMs: Math.max(holdMs, STARTING_MS_MAX), code: 'upstream_starting' }
  return { limitMs: holdMs, code: 'no_eligible_upstream' }
}

/** What the table is told for an engine that sleeps and is needed, so that its owner starts it; null:
 *  it needs no start. Pure. */
export function startOf({ facts }: Entry, nowMs: number): readonly Evidence[] | null {
  if (!needsStart(facts.process)) return null
  return facts.wantedAt === null ? [{ type: 'wanted', at: nowMs }] : []
}
