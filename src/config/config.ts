import type { HealthPolicy } from '../core/health/policy.ts'
import type { StartSettings } from '../core/owned/start-settings.ts'
import type { ModelGroup, RoutingPolicy } from '../core/table.ts'
import type { UpstreamSpec } from '../core/upstream.ts'
import type { CommandLine } from './command-line.ts'

/** Where a value came from. */
export type Source = 'default' | 'env' | 'file' | 'flag'

/** One setting as it was read, for `config print`. Secrets are shown as `(set)`. */
export interface Setting {
  readonly name: string
  readonly value: string
  readonly source: Source
}

/** An upstream as configured: its spec, and the secret that only connections may see. */
export interface UpstreamConfig {
  readonly spec: UpstreamSpec
  /** Sent to that upstream only. */
  readonly apiKey: string | null
  /** Names (never values) of env keys that hold its key, for `diag`. */
  readonly apiKeyNames: readonly string[]
  /** Path of the model file that `gengate run` starts it with; null: none was named. */
  readonly gguf: string | null
  /** How the gate starts its engine; null: it does not. May hold secrets. */
  readonly run: CommandLine | null
  /** Stop it after so long without traffic, and start it on demand, ms; null: neither. */
  readonly idleStopMs: number | null
}

/** Everything that was configured, parsed once and frozen. */
export interface Config {
  readonly host: string
  readonly port: number
  /** Path of the env file that was read or would be; null: none is watched. */
  readonly envFile: string | null
  /** In order of preference. */
  readonly upstreams: readonly UpstreamConfig[]
  readonly models: readonly ModelGroup[] | null
  readonly routing: RoutingPolicy
  readonly health: HealthPolicy
  readonly probeMaxTokens: number
  /** `off`, `auto` (it may join: nothing else was configured), or the path of a GGUF. */
  readonly embedded:
    | { readonly mode: 'off' }
    | { readonly mode: 'auto' }
    | { readonly mode: 'path'; readonly path: string }
  readonly connectTimeoutMs: number
  readonly commitDeadlineMs: number
  readonly holdMs: number
  readonly bodyMaxBytes: number
  /** Client connections at once. */
  readonly connectionsMax: number
  readonly drainMs: number
  readonly apiKeys: readonly string[]
  readonly trustedBind: boolean
  /** Host names served besides loopback names and IP literals. */
  readonly allowedHosts: readonly string[]
  readonly allowedOrigins: readonly string[]
  readonly run: StartSettings
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
  readonly settings: readonly Setting[]
  /** Names that the env file sets but the process environment or a flag overrides with another
   *  value. */
  readonly shadowed: readonly string[]
  /** Settings of upstreams that are not listed: legal, and without effect. */
  readonly unused: readonly string[]
}

/** One thing that is wrong with the configuration, in words that say what to do. */
export interface ConfigIssue {
  /** The variable or flag. */
  readonly name: string
  /** Goes on from the name: "must be …", "is not a setting. …". Never holds a secret. */
  readonly message: string
}

export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly issues: readonly ConfigIssue[] }
