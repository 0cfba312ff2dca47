import type { ConfigResult } from './config/load.ts'
import type { ProcessStatus } from './core/owned/process.ts'
import type { Clock } from './runtime/clock.ts'
import type { Random } from './runtime/random.ts'
import type { TableStore } from './state/table-store.ts'
import type { EngineDeath, Machine } from './supervisor/machine.ts'
import type { Log } from './telemetry/log.ts'

/** What the composition root takes from the process. */
export interface AppIo {
  readonly clock: Clock
  readonly random: Random
  readonly version: string
  readonly log: Log
  /** Where engines are started; absent: on this machine. */
  readonly machine?: Machine
  /** Hears of engines of ours that ended by themselves. */
  readonly onDeath?: ((death: EngineDeath) => void) | undefined
  /** The environment for engines that the gate starts, and for where their files lie. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** A running gate. */
export interface App {
  /** Binds and starts to probe. Rejects with the system's error when it cannot bind. */
  listen(): Promise<{ readonly host: string; readonly port: number }>
  /** Takes a configuration that was read anew; an invalid one changes nothing and is told. */
  reload(result: ConfigResult): void
  /** Ends: new requests are refused, running ones finish within the drain time, or at once with
   *  `force`. Resolves when no socket, timer, probe or child is left. Never rejects. */
  close(options?: { readonly force?: boolean }): Promise<void>
  readonly store: TableStore
}

/** What is true at this moment and stands in no table. */
export interface Now {
  readonly nowMs: number
  readonly wallMs: number
  readonly inFlight: (name: string) => number
  readonly engineOf: (name: string) => ProcessStatus | null
}
