import type { Config } from '../config/load.ts'
import { didYouMean } from '../config/known.ts'
import type { UpstreamConfig } from '../config/upstreams.ts'
import { type GatePlace, ownGate, type Place } from './gate-client.ts'
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

/** The target of `--url`; a text: why there is none. Pure. */
export function targetOfUrl(url: string): ProbeTarget | string {
  return isBaseUrl(url)
    ? outsider({ url: withoutV1(url), apiKey: null })
    : `--url wants an http:// or https:// address, not "${url}".`
}

/**
 * What clients use, taken from their own variables; null: none is set, so the gate's own port is
 * it; a text: it is no use. Pure.
 */
export function targetOfClients(
  env: Readonly<Record<string, string | undefined>>,
): ProbeTarget | string | null {
  const client = clientTarget(env)
  if (client === null) return null
  const { source, url, model, apiKey } = client
  return isBaseUrl(url)
    ? outsider({ url, apiKey }, model)
    : `${source} must be an http:// or https:// address.`
}

/** The gate's own listener, as a client sees it. Pure. */
export function targetOfGate(config: GatePlace): ProbeTarget {
  return outsider(ownGate(config))
}

/** A configured upstream. Pure. */
export function targetOf({ spec, apiKey }: UpstreamConfig): ProbeTarget {
  const { name, engine, url, model } = spec
  return { upstream: name, engine, url, model, apiKey }
}

/** Configured upstreams by name; a text: there is none of such a name. Pure. */
export function targetsOfNames(
  names: readonly string[],
  { upstreams }: Pick<Config, 'upstreams'>,
): readonly ProbeTarget[] | string {
  const known = upstreams.map(({ spec }) => spec.name)
  const stranger = names.find((name) => !known.includes(name))
  if (stranger === undefined) {
    return names.flatMap((name) => upstreams.filter(({ spec }) => spec.name === name).map(targetOf))
  }
  const meant = didYouMean(stranger, known)
  return `there is no upstream "${stranger}"; configured are: ${known.join(', ')}.${meant}`
}

/** Nobody has said what runs there. */
function outsider(place: Place, model: string | null = null): ProbeTarget {
  return { upstream: null, engine: 'openai', model, ...place }
}
