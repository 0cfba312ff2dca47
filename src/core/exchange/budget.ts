/** How many failovers may still be spent. Plain value. */
export interface FailoverBudget {
  readonly tokens: number
  /** When it was last settled, monotonic ms. */
  readonly at: number
}

/** A crash may lose this many requests at once and have all of them served by another upstream. */
export const BUDGET_MAX = 100
/** Kept for crashes: upstreams that answer, with a 503 or 500, may not use these up. So a storm in which
 *  all of them answer like that adds a few per cent from its first second on, and not 100 requests. */
export const CRASH_RESERVE = 70
/** What each answer that ended properly earns: a tenth, as Finagle's and Google's budgets do. */
const EARNED = 0.1
/** What comes back by time alone, per second. */
const PER_SECOND = 1

/** The budget of a gate that starts. */
export function fullBudget(atMs: number): FailoverBudget {
  return { tokens: BUDGET_MAX, at: atMs }
}

/** After an answer that ended properly. Pure. */
export function earn(budget: FailoverBudget, nowMs: number): FailoverBudget {
  return add(budget, EARNED, nowMs)
}

/** After failovers that another upstream served: they were not wasted, and cost nothing. Pure. */
export function giveBack(budget: FailoverBudget, spent: number, nowMs: number): FailoverBudget {
  return add(budget, spent, nowMs)
}

function add(budget: FailoverBudget, tokens: number, nowMs: number): FailoverBudget {
  const settled = settle(budget, nowMs)
  return { ...settled, tokens: Math.min(BUDGET_MAX, settled.tokens + tokens) }
}

/**
 * Spends one failover; null: there is none left. While every upstream fails, what is spent is not
 * earned again, so that clients' retries and ours cannot keep the failure alive. `answered`: the
 * upstream refused in words, it did not crash. Pure.
 */
export function spend(
  budget: FailoverBudget,
  nowMs: number,
  answered: boolean,
): FailoverBudget | null {
  const settled = settle(budget, nowMs)
  return settled.tokens < 1 + (answered ? CRASH_RESERVE : 0)
    ? null
    : { ...settled, tokens: settled.tokens - 1 }
}

function settle({ tokens, at }: FailoverBudget, nowMs: number): FailoverBudget {
  const refilled = tokens + ((nowMs - at) / 1_000) * PER_SECOND
  return { tokens: Math.min(BUDGET_MAX, refilled), at: nowMs }
}
