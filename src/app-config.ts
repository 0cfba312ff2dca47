import type { Config, ConfigResult } from './config/load.ts'
import { unusedNotes } from './config/notes.ts'
import { diffConfig } from './config/print.ts'
import type { TableConfig } from './core/table.ts'
import type { UpstreamSpec } from './core/upstream.ts'
import { type GuardPolicy, guardPolicy } from './door/access.ts'
import type { ConfigState } from './operator/status.ts'
import type { Target } from './proxy/upstream/pools.ts'
import { isLoopback } from './runtime/address.ts'
import type { Plan } from './supervisor/machine.ts'

/** The configuration in force, and what each room takes of it. */
export class AppConfig {
  readonly #instanceId: string
  /** In force, until the next reading. */
  now: Config
  /** Who may ask what. */
  policy: GuardPolicy
  /** What became of the last reading. */
  state: ConfigState
  /** The embedded engine, where it runs: the upstream of last resort. */
  embedded: UpstreamSpec | null = null

  /** `instanceId` names this process in `Via`. */
  constructor(config: Config, instanceId: string) {
    this.#instanceId = instanceId
    this.now = config
    this.policy = policyOf(config, instanceId)
    this.state = { ok: true, error: null, shadowed: config.shadowed }
  }

  /** Takes what was read anew, unless it is invalid; answers what is to be told of it. */
  reload(result: ConfigResult): { readonly ok: boolean; readonly notes: readonly string[] } {
    if (!result.ok) {
      const notes = result.issues.map(({ name, message }) => `${name} ${message}`)
      this.state = { ...this.state, ok: false, error: notes.join(' ') }
      return { ok: false, notes }
    }
    const { config } = result
    const { changed, needsRestart } = diffConfig(this.now, config)
    this.now = config
    this.policy = policyOf(config, this.#instanceId)
    this.state = { ok: true, error: null, shadowed: config.shadowed }
    const notes = [
      ...changed.map((name) => `${name} changed`),
      ...needsRestart.map((name) => `${name} changes at the next start`),
      ...unusedNotes(config),
    ]
    return { ok: true, notes }
  }

  /** What routing and health take of it. */
  table(): TableConfig {
    const { upstreams, health, routing, models } = this.now
    const last = this.embedded === null ? [] : [this.embedded]
    const specs = [...upstreams.map(({ spec }) => spec), ...last]
    return { specs, health, routing, models }
  }

  /** How to reach each upstream, with the key that only its connections may know. */
  targets(): Target[] {
    const { connectTimeoutMs } = this.now
    return this.table().specs.map(({ name, url }) => {
      const apiKey = this.keyOf(name)
      const authorization = apiKey === null ? null : `Bearer ${apiKey}`
      return { name, url, authorization, connectTimeoutMs }
    })
  }

  /** The key of one upstream; null: it has none. */
  keyOf(name: string): string | null {
    return this.now.upstreams.find(({ spec }) => spec.name === name)?.apiKey ?? null
  }

  /** The engines that the gate is to own. */
  plans(): Plan[] {
    return this.now.upstreams.flatMap(({ spec, run: line, idleStopMs }): Plan[] => {
      const { name, url, intent } = spec
      return line === null ? [] : [{ name, url, intent, line, idleStopMs }]
    })
  }
}

/** The operator's routes need the key only off the loopback (docs/decisions/0016). */
function policyOf(config: Config, instanceId: string): GuardPolicy {
  const { host, allowedHosts, allowedOrigins, apiKeys } = config
  return guardPolicy({
    hosts: allowedHosts,
    origins: allowedOrigins,
    keys: apiKeys,
    operatorNeedsKey: !isLoopback(host) && apiKeys.length > 0,
    instanceId,
  })
}
