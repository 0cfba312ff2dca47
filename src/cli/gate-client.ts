import type { Config } from '../config/load.ts'
import { engineError } from '../api/answer.ts'
import { exchange, fetchJson } from '../probe/wire.ts'
import { originOf } from '../runtime/address.ts'
import type { Clock } from '../runtime/clock.ts'
import { type GateStatus, parseGateStatus } from './gate-status.ts'

/** A gate answers from memory; one that takes longer is stalled. */
export const GATE_LIMIT_MS = 2_000

/** What became of asking the gate for its status. */
export type GateAnswer =
  | { readonly kind: 'status'; readonly status: GateStatus; readonly document: unknown }
  /** It answers, but wants a key that we do not have. */
  | { readonly kind: 'unauthorized' }
  /** Somebody else listens there. */
  | { readonly kind: 'other' }
  | { readonly kind: 'unreachable'; readonly code: string }

/** Asks whoever listens at `origin` for a gate's status. Never rejects. */
export async function askGate(
  origin: string,
  apiKey: string | null,
  { clock, signal }: { readonly clock: Clock; readonly signal?: AbortSignal | undefined },
): Promise<GateAnswer> {
  const bounds = { clock, limitMs: GATE_LIMIT_MS, signal }
  const reply = await ask(origin, '/gate/status', { ...bounds, apiKey })
  if (reply.errorCode !== null) return { kind: 'unreachable', code: reply.errorCode }
  // The code is the gate's own (errors/catalogue.ts); an engine's 401 on this path lacks it.
  const refused = reply.status === 401 && engineError(reply.body)?.code === 'invalid_api_key'
  if (refused) return { kind: 'unauthorized' }
  const status = parseGateStatus(reply.body)
  return status === null ? { kind: 'other' } : { kind: 'status', status, document: reply.body }
}

/** The settings that say where a gate is, and what key it wants. */
export type GatePlace = Pick<Config, 'host' | 'port' | 'apiKeys'>

/** The gate that this configuration describes, and the key to ask it with. */
export function ownGate(config: GatePlace): { origin: string; apiKey: string | null } {
  return { origin: originOf(config), apiKey: config.apiKeys[0] ?? null }
}

/** One sentence on why there is no status, with what to do. Pure. */
export function noStatusMessage(origin: string, answer: GateAnswer): string {
  switch (answer.kind) {
    case 'status':
      return `${origin} answers.`
    case 'unauthorized':
      return `The gate at ${origin} wants an API key: set GENGATE_API_KEYS to one that it knows.`
    case 'other':
      return `Something other than gengate listens at ${origin}. Run \`gengate doctor\` to see what it is.`
    case 'unreachable':
      return `No gate answers at ${origin} (${answer.code}). Start one with \`gengate serve\`, or set GENGATE_PORT to its port.`
  }
}

/** How a question ended. `status` 0 and a code where no whole answer came. */
export interface Reply {
  readonly status: number
  /** The parsed JSON, whatever the status; undefined when it is not JSON. */
  readonly body: unknown
  /** `ECONNREFUSED`, `ETIMEDOUT`, …; null: an answer came. */
  readonly errorCode: string | null
}

interface AskOptions {
  readonly clock: Clock
  /** For the whole exchange, ms. */
  readonly limitMs: number
  /** Sent as a bearer; null: none. */
  readonly apiKey: string | null
  /** Ends it early, as if nothing came; absent: only the limit does. */
  readonly signal?: AbortSignal | undefined
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
