import { fetchJson } from '../probe/run.ts'
import { exchange } from '../probe/wire.ts'
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
  /** Ends it early, as if nothing came; absent: only the limit does. */
  readonly signal?: AbortSignal
}

/**
 * One GET for JSON on a connection of its own, without proxies, redirects or retries: diagnostics
 * must see what is really there. Never rejects.
 */
export async function ask(url: string, path: string, options: AskOptions): Promise<Reply> {
  const { clock, limitMs, apiKey, signal = new AbortController().signal } = options
  const target = { url, apiKey, connectTimeoutMs: limitMs }
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

/** One answer as text. `status` 0 and a code where no whole answer came. */
export interface TextReply {
  readonly status: number
  readonly text: string
  readonly errorCode: string | null
}

/** The same for text. Never rejects. */
export async function askText(url: string, path: string, options: AskOptions): Promise<TextReply> {
  const { clock, limitMs, apiKey, signal } = options
  const limit = new AbortController()
  const cancel = clock.after(limitMs, () => limit.abort())
  const target = { url, apiKey, connectTimeoutMs: limitMs }
  const signals = signal === undefined ? [limit.signal] : [limit.signal, signal]
  const answer = await exchange({ target, path, body: null, signal: AbortSignal.any(signals) })
  cancel()
  if (answer.kind === 'answer') {
    return { status: answer.status, text: new TextDecoder().decode(answer.body), errorCode: null }
  }
  const errorCode = limit.signal.aborted ? 'ETIMEDOUT' : answer.code
  return { status: 0, text: '', errorCode }
}

/** Was that a success? */
export function succeeded({ status }: Reply): boolean {
  return status >= 200 && status < 300
}
