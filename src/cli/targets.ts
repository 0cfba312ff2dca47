import type { Config } from '../config/load.ts'
import { didYouMean } from '../config/known.ts'
import { type GatePlace, ownGate } from './gate-client.ts'
import type { ProbeTarget } from './probe-once.ts'

/** Variables that clients take their base URL from, in order; the gate itself never does. */
const CLIENT_PREFIXES = ['SYSTEM2_VLLM', 'OPENCLAW_VLLM'] as const

/** Where clients send their requests, and what they send with them. */
interface ClientTarget {
  /** The variable that says so; null: nothing does, so it is the default. */
  readonly source: string | null
  /** Without `/v1` and without a trailing slash. */
  readonly url: string
  readonly model: string | null
  readonly apiKey: string | null
}

/**
 * What clients use: `SYSTEM2_VLLM_BASE_URL`, then `OPENCLAW_VLLM_BASE_URL`, with the siblings
 * `_MODEL` and `_API_KEY` of the one that is set; null: neither is. Pure.
 */
export function clientTarget(
  env: Readonly<Record<string, string | undefined>>,
): ClientTarget | null {
  for (const prefix of CLIENT_PREFIXES) {
    const url = env[`${prefix}_BASE_URL`]
    if (url === undefined || url.trim() === '') continue
    return {
      source: `${prefix}_BASE_URL`,
      url: withoutV1(url.trim()),
      model: env[`${prefix}_MODEL`] || null,
      apiKey: env[`${prefix}_API_KEY`] || null,
    }
  }
  return null
}

/** A base URL as upstreams are configured: `/v1` and trailing slashes are cut. Pure. */
export function withoutV1(url: string): string {
  return url.replace(/\/+$/, '').replace(/\/v1$/, '').replace(/\/+$/, '')
}

/** Can this be the base URL of an OpenAI-compatible server? Pure. */
function isBaseUrl(url: string): boolean {
  const parsed = URL.parse(url)
  return parsed !== null && (parsed.protocol === 'http:' || parsed.protocol === 'https:')
}

/** Whom to probe, or why that cannot be told. */
export type Targets =
  | { readonly ok: true; readonly targets: readonly ProbeTarget[] }
  | { readonly ok: false; readonly message: string }

/** The one target of `--url`. Pure. */
export function targetOfUrl(url: string): Targets {
  if (!isBaseUrl(url)) {
    return { ok: false, message: `--url wants an http:// or https:// address, not "${url}".` }
  }
  return one({ upstream: null, engine: 'openai', url: withoutV1(url), model: null, apiKey: null })
}

/**
 * What clients use, taken from their own variables; null: none is set, so the gate's own port is
 * it. Pure.
 */
export function targetOfClients(env: Readonly<Record<string, string | undefined>>): Targets | null {
  const client = clientTarget(env)
  if (client === null) return null
  if (!isBaseUrl(client.url)) {
    return { ok: false, message: `${client.source} must be an http:// or https:// address.` }
  }
  const { url, model, apiKey } = client
  return one({ upstream: null, engine: 'openai', url, model, apiKey })
}

/** The gate's own listener, as a client sees it. Pure. */
export function targetOfGate(config: GatePlace): Targets {
  return one({ upstream: null, engine: 'openai', model: null, ...ownGate(config) })
}

/** Configured upstreams by name; all of them when none is named. Pure. */
export function targetsOfNames(
  names: readonly string[],
  config: Pick<Config, 'upstreams'>,
): Targets {
  const all = config.upstreams.map(({ spec, apiKey }): ProbeTarget => {
    const { name, engine, url, model } = spec
    return { upstream: name, engine, url, model, apiKey }
  })
  if (names.length === 0) return { ok: true, targets: all }
  const targets: ProbeTarget[] = []
  for (const name of names) {
    const target = all.find((candidate) => candidate.upstream === name)
    if (target === undefined) {
      const known = config.upstreams.map(({ spec }) => spec.name)
      const message = `there is no upstream "${name}"; configured are: ${known.join(', ')}.`
      return { ok: false, message: message + didYouMean(name, known) }
    }
    targets.push(target)
  }
  return { ok: true, targets }
}

function one(target: ProbeTarget): Targets {
  return { ok: true, targets: [target] }
}
