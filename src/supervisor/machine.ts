import type { Plan } from './plan.ts'

/** Why an engine cannot be started now. */
export interface Block {
  /** `port`: something answers at its address. `lock`: an older process of it is not gone yet. */
  readonly kind: 'port' | 'lock'
  /** Who, for the operator. */
  readonly text: string
}

/** How a process ended. */
export interface Exit {
  /** `exit code 1`, `SIGKILL`. */
  readonly how: string
  /** The last lines that it wrote, newest last. */
  readonly lines: readonly string[]
}

/** An engine that ended by itself. Its lines may hold secrets: they are for its operator alone. */
export interface EngineDeath extends Exit {
  /** Of the upstream. */
  readonly name: string
  /** Deaths in a row that were like this one, itself counted, none of them after a generation; 0: it has
   *  generated. */
  readonly alike: number
}

/** A process that was started and has not ended. */
export interface EngineProcess {
  /** Of the engine and of its process group; null: it could not be started at all. */
  readonly pid: number | null
  /** Path of the file with its output; null: none can be written. */
  readonly log: string | null
  /** To the whole group; once it has ended, nothing happens. */
  readonly signal: (signal: 'SIGTERM' | 'SIGKILL') => void
}

/** What an owner can do on its machine; simulations bring their own. */
export interface Machine {
  /** Takes the lock of this engine, or says why it may not be started now. Never rejects. */
  readonly blockedBy: (plan: Plan) => Promise<Block | null>
  /** Starts it, holding the lock. `onExit` is called once, later, when the whole group is gone.
   *  Never throws: what cannot be started exits. */
  readonly start: (plan: Plan, onExit: (exit: Exit) => void) => EngineProcess
  /** Gives back a lock that was taken for nothing. */
  readonly release: (plan: Plan) => void
}
