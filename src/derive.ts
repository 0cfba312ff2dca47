import type { Config } from './config/load.ts'
import type { TableConfig } from './core/table.ts'
import type { UpstreamSpec } from './core/upstream.ts'
import { type GuardPolicy, guardPolicy } from './door/access.ts'
import { isLoopback } from './runtime/address.ts'
import type { Target } from './proxy/upstream/pools.ts'
import type { Plan } from './supervisor/machine.ts'

/** What routing and health take from the configuration. The embedded engine, where it runs, is the
 *  upstream of last resort. Pure. */
export function tableConfigOf(config: Config, embedded: UpstreamSpec | null): TableConfig {
  const { upstreams, health, routing, models } = config
  const specs = upstreams.map(({ spec }) => spec)
  return { specs: embedded === null ? specs : [...specs, embedded], health, routing, models }
}

/** How to reach each upstream, with the key that only its connections may know. Pure. */
export function targetsOf(config: Config, embedded: UpstreamSpec | null): Target[] {
  const { connectTimeoutMs } = config
  const targets = config.upstreams.map(({ spec, apiKey }): Target => ({
    name: spec.name,
    url: spec.url,
    authorization: apiKey === null ? null : `Bearer ${apiKey}`,
    connectTimeoutMs,
  }))
  if (embedded === null) return targets
  const { name, url } = embedded
  return [...targets, { name, url, authorization: null, connectTimeoutMs }]
}

/** The engines that the gate is to own. Pure. */
export function plansOf({ upstreams }: Config): Plan[] {
  return upstreams.flatMap(({ spec, run: line, idleStopMs }): Plan[] => {
    const { name, url, intent } = spec
    return line === null ? [] : [{ name, url, intent, line, idleStopMs }]
  })
}

/** Who may ask what (docs/decisions/0016): the operator's routes need the key only off the loopback.
 *  Pure. */
export function guardPolicyOf(config: Config, instanceId: string): GuardPolicy {
  const { host, allowedHosts, allowedOrigins, apiKeys } = config
  return guardPolicy({
    hosts: allowedHosts,
    origins: allowedOrigins,
    keys: apiKeys,
    operatorNeedsKey: !isLoopback(host) && apiKeys.length > 0,
    instanceId,
  })
}
