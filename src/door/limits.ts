import { readFileSync } from 'node:fs'
import type { ServerOptions } from 'node:http'

/** Headers of one request; more are refused. Node's own limit drops the rest without a word. */
export const HEADERS_MAX = 256

/** Requests on one connection that may wait for their answers; one more is refused, and closes it.
 *  All of them run at once, and hardly any client sends a second one before it has read the first. */
export const PIPELINED_MAX = 16

/** Of those that are turned away, so many at once are told why; the rest are closed without a word:
 *  to tell takes a file descriptor for a moment. */
export const TURNED_AWAY_MAX = 100

/** Descriptors that new clients may not have: upstreams, files, and those who are told need some. */
export const DESCRIPTORS_KEPT = 24

/** How many descriptors this process may have (`ulimit -n`); no limit where the system does not tell. */
export function descriptorsMax(): number {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    return found === null ? Number.POSITIVE_INFINITY : Number(found[1])
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/**
 * Everything Node's HTTP server can be told about a connection, said aloud (house rule: no
 * library default on the data path is left unsaid).
 */
export const HTTP_OPTIONS: ServerOptions = {
  // A head has 10 s, checked every second: slow senders are gone within 12 s.
  headersTimeout: 10_000,
  connectionsCheckingInterval: 1_000,
  // Bodies and answers are timed by the lane that reads them; an upload may take an hour.
  requestTimeout: 0,
  // Longer than the 60 s for which load balancers keep an idle connection, so that they close first.
  keepAliveTimeout: 72_000,
  // Margin over the announced timeout against a request that is already on its way.
  keepAliveTimeoutBuffer: 1_000,
  // The request line and all headers; beyond it 431.
  maxHeaderSize: 16_384,
  // Node's own 400 has no body; ours has (server.ts).
  requireHostHeader: false,
  // Two Host headers must stay visible as two in rawHeaders.
  joinDuplicateHeaders: false,
  // The strict parser: leniency is how requests are smuggled.
  insecureHTTPParser: false,
  // A token is worth a packet.
  noDelay: true,
  // A client behind a dead link must not hold an answer for ever.
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
  // Unless the server says otherwise, nothing is upgraded.
  shouldUpgradeCallback: () => false,
  // The body of a HEAD answer is dropped, not an error.
  rejectNonStandardBodyWrites: false,
  // Without a body there are still 'end' and 'close' events to wait for.
  optimizeEmptyRequests: false,
}
