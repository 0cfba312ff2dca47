import type { Config } from '../config/load.ts'
import { engineError } from '../api/answer.ts'
import type { ListedModel } from '../core/model/model-choice.ts'
import { listedModels } from '../engines/model-list.ts'
import { fetchJson } from '../probe/wire.ts'
import { originOf } from '../runtime/address.ts'
import type { Clock } from '../runtime/clock.ts'
import { type GateStatus, parseGateStatus } from './gate-status.ts'

/** A gate answers from memory; one that takes longer is stalled. */
export const GATE_LIMIT_MS = 2_000

/** What became of asking the gate for its status. */
export type GateAnswer =
  | { readonly kind: 'status'; readonly status: GateStatus; readonly document: unknown }
  | NoStatus

/** Why there is none: it wants a key that we do not have, somebody else listens there, or nobody. */
interface NoStatus {
  readonly kind: 'unauthorized' | 'other' | 'unreachable'
  /** One sentence, with what to do. */
  readonly message: string
}

/** No status from this origin; `code`: why it cannot be reached. Pure. */
export function noStatus(kind: NoStatus['kind'], origin: string, code = ''): NoStatus {
  const messages = {
    unauthorized: `The gate at ${origin} wants an API key: set GENGATE_API_KEYS to one that it knows.`,
    other: `Something other than gengate listens at ${origin}. Run \`gengate doctor\` to see what it is.`,
    unreachable: `No gate answers at ${origin} (${code}). Start one with \`gengate serve\`, or set GENGATE_PORT to its port.`,
  }
  return { kind, message: messages[kind] }
}

/** A server, and the key to ask it with; null: none. */
export interface Place {
  /** Without `/v1`. */
  readonly url: string
  readonly apiKey: string | null
}

/** What a question takes besides. */
interface Bounds {
  readonly clock: Clock
  /** Ends it early, as if nothing came; absent: only the limit does. */
  readonly signal?: AbortSignal | undefined
}

/** Asks whoever listens there for a gate's status. Never rejects. */
export async function askGate(place: Place, { clock, signal }: Bounds): Promise<GateAnswer> {
  const { url } = place
  const reply = await ask(place, '/gate/status', { clock, limitMs: GATE_LIMIT_MS, signal })
  if (reply.errorCode !== null) return noStatus('unreachable', url, reply.errorCode)
  // The code is the gate's own (errors/catalogue.ts); an engine's 401 on this path lacks it.
  const refused = reply.status === 401 && engineError(reply.body)?.code === 'invalid_api_key'
  if (refused) return noStatus('unauthorized', url)
  const status = parseGateStatus(reply.body)
  return status === null ? noStatus('other', url) : { kind: 'status', status, document: reply.body }
}

/** The settings that say where a gate is, and what key it wants. */
export type GatePlace = Pick<Config, 'host' | 'port' | 'apiKeys'>

/** The gate that this configuration describes. */
export function ownGate(config: GatePlace): Place {
  return { url: originOf(config), apiKey: config.apiKeys[0] ?? null }
}

/** How a question ended. `status` 0 and a code where no whole answer came. */
export interface Reply {
  readonly status: number
  /** The parsed JSON, whatever the status; the text where it is not JSON. */
  readonly body: unknown
  /** `ECONNREFUSED`, `ETIMEDOUT`, …; null: an answer came. */
  readonly errorCode: string | null
}

/**
 * One GET on a connection of its own, without proxies, redirects or retries: diagnostics must see what is
 * really there. `limitMs` is for the whole exchange. Never rejects.
 */
export async function ask(
  { url, apiKey }: Place,
  path: string,
  { clock, limitMs, signal = new AbortController().signal }: Bounds & { readonly limitMs: number },
): Promise<Reply> {
  const target = { url, apiKey, connectTimeoutMs: limitMs }
  const fetched = await fetchJson({ target, path, limitMs, clock, signal })
  if (fetched.kind === 'answer') return { ...fetched, errorCode: null }
  const errorCode = fetched.kind === 'silent' ? 'ETIMEDOUT' : fetched.code
  return { status: 0, body: undefined, errorCode }
}

/** The models in an answer to `GET /v1/models`; null: it lists none. Pure. */
export function listedIn({ status, body }: Reply): readonly ListedModel[] | null {
  return status >= 200 && status < 300 ? listedModels(body) : null
}

/** `owned_by` of the first model listed; null: nobody says. Pure. */
export function ownerOf(listed: readonly ListedModel[] | null): string | null {
  const owner = listed?.[0]?.fields['owned_by']
  return typeof owner === 'string' ? owner : null
}
