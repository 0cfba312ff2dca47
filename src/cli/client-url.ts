/** Variables that clients take their base URL from, in order; the gate itself never does. */
export const CLIENT_PREFIXES = ['SYSTEM2_VLLM', 'OPENCLAW_VLLM'] as const

/** Where clients send their requests, and what they send with them. */
export interface ClientTarget {
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
export function isBaseUrl(url: string): boolean {
  const parsed = URL.parse(url)
  return parsed !== null && (parsed.protocol === 'http:' || parsed.protocol === 'https:')
}
