import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { GateEvent } from '../core/event.ts'
import type { Handed } from '../core/exchange/exchange.ts'
import { type Answer, errorAnswer, plainAnswer } from '../errors/answer.ts'

/** Sends an answer of the gate's own, whole. */
export type Send = (response: ServerResponse, handed: Handed, answer: Answer) => void

/** THE way in which the gate's own answers leave, and the one place that tells of a refusal. Only an
 *  exchange, which may have begun its answer already, ends by itself. */
export function sendVia(emit: (event: GateEvent) => void): Send {
  return (response, { requestId, path, cors }, { status, headers, body, code }) => {
    response.writeHead(status, { ...headers, ...cors })
    response.end(body)
    if (code !== null) emit({ type: 'refused', requestId, path, status, code })
  }
}

/** An answer as bytes for a socket that no response object guards any more. Pure. */
export function rawAnswer({ status, headers, body }: Answer): string {
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const reason = STATUS_CODES[status] ?? 'Error'
  return `HTTP/1.1 ${status} ${reason}\r\n${head.join('')}connection: close\r\n\r\n${body}`
}

/** What stands in for `Handed` where the guards have not let the request in: its raw path without
 *  password, query or fragment, for log lines. Pure. */
export function notAdmitted({ url = '' }: IncomingMessage, requestId: string): Handed {
  const path = url.replace(/[?#].*$/s, '').replace(/^[a-z][a-z\d+.-]*:\/\/[^/]*/i, '')
  return { requestId, path: path || '-', query: '', cors: {}, via: '' }
}

/** One helpful line for people who guessed wrong; in Ollama's error shape where an Ollama client
 *  asks, since it prints `[object Object]` for any other. Pure. */
export function lost({ requestId, path }: Handed): Answer {
  if (path !== '/api' && !path.startsWith('/api/'))
    return errorAnswer('not_found', { requestId, detail: WHERE })
  const error = `gengate speaks the OpenAI API under /v1, not Ollama's. ${WHERE}`
  const body = `${JSON.stringify({ error })}\n`
  return { ...plainAnswer(404, { type: 'application/json', body }, requestId), code: 'not_found' }
}

const WHERE = 'Use a base URL that ends in /v1; GET /gate/status shows what is served.'

/** An answer that says all in its headers. Pure. */
export function noContent(requestId: string): Answer {
  const empty = plainAnswer(204, { type: 'text/plain', body: '' }, requestId)
  // RFC 9110 §8.6: a 204 has neither.
  const { 'content-length': _length, 'content-type': _type, ...headers } = empty.headers
  return { ...empty, headers }
}
