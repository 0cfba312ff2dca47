import type { Intent } from '../core/upstream.ts'

/** How to start an engine: plain data, no shell. */
export interface StartLine {
  readonly command: string
  readonly args: readonly string[]
  /** Variables on top of the gate's own environment. Undefined: not inherited. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** What the operator wants of one engine that the gate owns. */
export interface Plan {
  /** Of the upstream. */
  readonly name: string
  /** Base URL of the upstream: one engine per address. */
  readonly url: string
  readonly line: StartLine
  /** Stop it after so long without traffic and start it on demand, ms; null: it runs all the time. */
  readonly idleStopMs: number | null
  readonly intent: Intent
}

/** What is wanted now. `leave`: neither start nor end it, whatever happens. */
export type Want = 'run' | 'on_demand' | 'leave' | 'stop'

/** Draining is for work by hand: it is left alone. Disabled is never started. Pure. */
export function wantOf(plan: Plan | null): Want {
  if (plan === null || plan.intent === 'disabled') return 'stop'
  if (plan.intent === 'draining') return 'leave'
  return plan.idleStopMs === null ? 'run' : 'on_demand'
}

/** Would both start the same process at the same address? Pure. */
export function sameLine(a: Plan, b: Plan): boolean {
  return a.url === b.url && JSON.stringify(lineKey(a.line)) === JSON.stringify(lineKey(b.line))
}

function lineKey({ command, args, env }: StartLine): readonly unknown[] {
  return [command, args, Object.entries(env).toSorted(([a], [b]) => (a < b ? -1 : 1))]
}
