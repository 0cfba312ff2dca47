import { isDeepStrictEqual } from 'node:util'
import { type Intent, INTENTS } from '../core/upstream.ts'
import type { Child, ChildEnd, Command } from '../process/child.ts'

/** What the operator wants of one engine that the gate owns. */
export interface Plan {
  /** Of the upstream. */
  readonly name: string
  /** Base URL of the upstream: one engine per address. */
  readonly url: string
  readonly line: Command
  /** Stop it after so long without traffic and start it on demand, ms; null: it runs all the time. */
  readonly idleStopMs: number | null
  readonly intent: Intent
}

/** What is wanted now. `leave`: neither start nor end it, whatever happens. */
export type Want = 'run' | 'on_demand' | 'leave' | 'stop'

/** Draining is for work by hand: it is left alone. Disabled is never started. Pure. */
export function wantOf(plan: Plan | null): Want {
  if (plan === null) return 'stop'
  const want = INTENTS[plan.intent].engine
  return want === 'run' && plan.idleStopMs !== null ? 'on_demand' : want
}

/** Would both start the same process at the same address? Pure. */
export function sameLine(a: Plan, b: Plan): boolean {
  return isDeepStrictEqual(processOf(a), processOf(b))
}

function processOf({ url, line: { command, args, env } }: Plan): readonly unknown[] {
  return [url, command, args, env]
}

/** Why an engine cannot be started now. */
export interface Block {
  /** `port`: something answers at its address. `lock`: an older process of it is not gone yet. */
  readonly kind: 'port' | 'lock'
  /** Who, for the operator. */
  readonly text: string
}

/** An engine that ended by itself. Its lines may hold secrets: they are for its operator alone. */
export interface EngineDeath extends ChildEnd {
  /** Of the upstream. */
  readonly name: string
  /** Deaths in a row that were like this one, itself counted, none of them after a generation; 0: it has
   *  generated. */
  readonly alike: number
}

/** A process that was started and has not ended. */
export interface EngineProcess extends Pick<Child, 'pid' | 'signal'> {
  /** Path of the file with its output; null: none can be written. */
  readonly log: string | null
}

/** What an owner can do on its machine; simulations bring their own. */
export interface Machine {
  /** Takes the lock of this engine, or says why it may not be started now. Never rejects. */
  readonly blockedBy: (plan: Plan) => Promise<Block | null>
  /** Starts it, holding the lock. `onExit` is called once, later, when the whole group is gone.
   *  Never throws: what cannot be started exits. */
  readonly start: (plan: Plan, onExit: (end: ChildEnd) => void) => EngineProcess
  /** Gives back a lock that was taken for nothing. */
  readonly release: (plan: Plan) => void
}
