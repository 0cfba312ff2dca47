import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** What a client's own id may look like: it goes into headers and log lines. Node joins repeated
 *  headers with a comma, so that two ids are none. */
const SANE_ID = /^[A-Za-z0-9._:/+=-]{1,128}$/

/** The client's `x-request-id` where it is sane, else a new one. */
export function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const sent = request.headers['x-request-id']
  return typeof sent === 'string' && SANE_ID.test(sent) ? sent : randomUUID()
}
