import { fetchJson } from '../probe/run.ts'
import type { Clock } from '../runtime/clock.ts'

/** How a question ended. `status` 0 and a code where no whole answer came. */
export interface Reply {
  readonly status: number
  /** The parsed JSON, whatever the status; undefined when it is none. */
  readonly body: unknown
  /** `ECONNREFUSED`, `ETIMEDOUT`, …; null: an answer came. */
  readonly errorCode: string | null
}

export interface AskOptions {
  readonly clock: Clock
  /** For the whole exchange, ms. */
  readonly limitMs: number
  /** Sent as a bearer; null: none. */
  readonly apiKey: string | null
}

/**
 * One GET for JSON on a connection of its own, without proxies, redirects or retries: diagnostics
 * must see what is really there. Never rejects.
 */
export async function ask(url: string, path: string, options: AskOptions): Promise<Reply> {
  const { clock, limitMs, apiKey } = options
  const target = { url, apiKey, connectTimeoutMs: limitMs }
  const { signal } = new AbortController()
  const fetched = await fetchJson({ target, path, limitMs, clock, signal })
  switch (fetched.kind) {
    case 'answer':
      return { status: fetched.status, body: fetched.body, errorCode: null }
    case 'silent':
      return { status: 0, body: undefined, errorCode: 'ETIMEDOUT' }
    case 'broken':
      return { status: 0, body: undefined, errorCode: fetched.code }
  }
}

/** Was that a success? */
export function succeeded({ status }: Reply): boolean {
  return status >= 200 && status < 300
}
