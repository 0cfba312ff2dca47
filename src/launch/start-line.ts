import type { StartSettings } from '../core/owned/start-settings.ts'

/** The engines that `gengate run` starts, by the names of their upstreams. */
export const RUNNABLE = ['vllm_cpu', 'vllm_metal', 'ollama', 'llamacpp'] as const
export type Runnable = (typeof RUNNABLE)[number]

/** Is this the name of an engine that can be started? */
export function isRunnable(name: string): name is Runnable {
  return RUNNABLE.some((known) => known === name)
}

/** What is on this machine. */
export interface Machine {
  /** Home directory of the user; empty: unknown. */
  readonly home: string
  /** Absolute path of a program, by its path or by its name on PATH; null: there is none. */
  readonly program: (nameOrPath: string) => string | null
  readonly isFile: (path: string) => boolean
}

/** Everything that a start line is made of. */
export interface StartInput {
  readonly settings: StartSettings
  /** The upstream of the same name: where the gate looks for this engine, and by which model. */
  readonly upstream: {
    readonly url: string
    readonly model: string | null
    readonly gguf: string | null
  }
  /** Port of the gate, which no engine may take; 0: any. */
  readonly gatePort: number
  /** Flags of the engine, as the operator wrote them after `--`: they replace ours. */
  readonly flags: readonly string[]
  readonly machine: Machine
}

/** How one engine is started. Plain data: `child.ts` runs it, and so may anything else. */
export interface StartLine {
  readonly engine: Runnable
  /** Absolute path of the program. */
  readonly command: string
  readonly args: readonly string[]
  /** Variables for the engine, besides those that it inherits. */
  readonly env: Readonly<Record<string, string>>
  /** Variables that mean something to us and something else, or nothing, to the engine. */
  readonly unset: readonly string[]
  /** Directory to put in front of PATH, as activating a virtual environment does; null: none. */
  readonly pathFirst: string | null
  /** Where it will listen. */
  readonly host: string
  readonly port: number
  /** What to know about this start, one sentence each. */
  readonly notes: readonly string[]
}

/** Why an engine cannot be started, and what to do: a person has to do something (exit 2). */
export interface StartIssue {
  readonly what: string
  readonly hint: string
}

export type Started =
  | { readonly ok: true; readonly line: StartLine }
  | { readonly ok: false; readonly issue: StartIssue }

/** An issue as a result. */
export function refused(what: string, hint: string): { ok: false; issue: StartIssue } {
  return { ok: false, issue: { what, hint } }
}
