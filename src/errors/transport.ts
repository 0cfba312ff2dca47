import type { ErrorCode } from './catalogue.ts'

/** What a broken connection says about the server at its other end. */
export type TransportFailure =
  /** Nobody listens there: nothing was sent. */
  | 'refused'
  /** No connection came about: nothing was sent. */
  | 'unreachable'
  /** The connection broke after it existed. */
  | 'reset'
  /** What came back is not HTTP. */
  | 'protocol'
  /** Our own limit (file descriptors): says nothing about the server. */
  | 'ours'
  /** Its name was not found: the fault of our resolver, until that lasts. */
  | 'unresolved'
  /** We gave it up, or could not even write it. */
  | 'unsent'

const CODES: readonly (readonly [TransportFailure, ...codes: string[]])[] = [
  ['refused', 'ECONNREFUSED', 'ENOENT'],
  ['unreachable', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT'],
  ['unreachable', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN'],
  ['unresolved', 'ENOTFOUND', 'EAI_AGAIN'],
  ['ours', 'EADDRNOTAVAIL', 'EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'],
  ['unsent', 'UND_ERR_INVALID_ARG', 'ABORTED'],
  ['protocol', 'UND_ERR_HEADERS_OVERFLOW', 'UND_ERR_RESPONSE', 'UND_ERR_RES_EXCEEDED_MAX_SIZE'],
  // Also for a head with two lengths, or with a length and chunks.
  ['protocol', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'],
  // Ours: see `exchange` of probe/wire.ts.
  ['protocol', 'ERR_CONTENT_ENCODING'],
]

/** Classifies by `code`, never by message. Anything unknown counts as a broken connection. */
export function transportFailure(error: unknown): TransportFailure {
  // undici's error for bytes that are not HTTP has a name and sometimes no code.
  if (error instanceof Error && error.name === 'HTTPParserError') return 'protocol'
  const code = codeOf(error)
  // llhttp's parse errors all begin with HPE_.
  if (code.startsWith('HPE_')) return 'protocol'
  return CODES.find(([, ...codes]) => codes.includes(code))?.[0] ?? 'reset'
}

/** Does it say nothing about the server (docs/decisions/0013)? The one rule, for probes and traffic. */
export function blamesNobody(
  failure: TransportFailure,
): failure is Extract<TransportFailure, 'ours' | 'unresolved' | 'unsent'> {
  return failure === 'ours' || failure === 'unresolved' || failure === 'unsent'
}

/** The `code` of an error, or of what caused it; empty when it has none. */
export function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  if ('code' in error && typeof error.code === 'string') return error.code
  return 'cause' in error ? codeOf(error.cause) : ''
}

/** The gate's own error for a broken connection, before anything reached the client. */
export const CODE_OF_TRANSPORT = {
  refused: 'upstream_unreachable',
  unreachable: 'upstream_unreachable',
  reset: 'upstream_unreachable',
  protocol: 'upstream_protocol_error',
  ours: 'too_many_connections',
  unresolved: 'upstream_unreachable',
  unsent: 'internal_error',
} as const satisfies Readonly<Record<TransportFailure, ErrorCode>>
