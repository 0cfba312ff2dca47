import type { CommandRow } from './completion-table.ts'
import type { Runnable } from '../launch/start-line.ts'
import type { Shell } from './commands/completion.ts'

/** Flags that every subcommand which reads the configuration takes. */
export interface ConfigFlags {
  /** `[name=]url`, in order of preference. */
  readonly upstream?: readonly string[]
  readonly envFile?: string
}

export interface JsonFlags extends ConfigFlags {
  readonly json?: true
}

/** Flags of what can be watched. */
export interface WatchFlags extends JsonFlags {
  readonly watch?: true
  /** Seconds. */
  readonly interval: number
}

/** Flags of `gengate run`. */
export interface RunFlags extends JsonFlags {
  readonly dryRun?: true
  readonly gate?: true
  /** The gate in front, which owns the engine. */
  readonly heal?: true
}

/** The subcommands, parsed: each resolves with its exit code. Times are seconds. */
export interface Handlers {
  readonly serve: (flags: ConfigFlags) => Promise<number>
  /** `engine`: as written, absent: what `LOCAL_LLM_BACKEND` says; `own`: what stood after `--`. */
  readonly run: (
    engine: Runnable | undefined,
    own: readonly string[],
    flags: RunFlags,
  ) => Promise<number>
  readonly probe: (
    names: readonly string[],
    flags: WatchFlags & { readonly url?: string; readonly timeout: number },
  ) => Promise<number>
  readonly diag: (flags: ConfigFlags) => Promise<number>
  readonly status: (flags: WatchFlags & { readonly verbose?: true }) => Promise<number>
  readonly explain: (model: string | undefined, flags: JsonFlags) => Promise<number>
  readonly wait: (
    flags: ConfigFlags & { readonly timeout: number; readonly model?: string },
  ) => Promise<number>
  readonly doctor: (flags: JsonFlags) => Promise<number>
  readonly configCheck: (flags: JsonFlags) => Promise<number>
  readonly configPrint: (flags: JsonFlags) => Promise<number>
  readonly completion: (shell: Shell, rows: readonly CommandRow[]) => Promise<number>
}
