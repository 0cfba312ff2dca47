import type { IncomingHttpHeaders } from 'node:http'
import { REALTIME_PATH } from '../api/index.ts'
import { type GuardedRequest, type Refusal, refuse } from './guard-policy.ts'

/** 16 random bytes in base64 (RFC 6455 §4.1). */
const KEY = /^[+/0-9A-Za-z]{22}==$/
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/

/** Does this request ask for a WebSocket, well or badly made? Pure. */
export function asksForSocket(headers: IncomingHttpHeaders): boolean {
  return headers.upgrade !== undefined && protocolsOf(headers).includes('websocket')
}

/**
 * Why the protocol that a request asks for is refused; null: it asks for none, for one that may be
 * ignored, or for a WebSocket where there is one. What the WebSocket library would refuse later, in
 * an answer of its own, is refused here. `path` is canonical. Pure.
 */
export function upgradeFault(request: GuardedRequest, path: string): Refusal | null {
  if (request.headers.upgrade === undefined) return null
  const protocols = protocolsOf(request.headers)
  // Java's HttpClient offers h2c with every plain request. RFC 9110 §7.8: it may be ignored.
  if (protocols.every((protocol) => protocol === 'h2c')) return null
  if (path !== REALTIME_PATH || !asksForSocket(request.headers)) return refused('')
  const fault = handshakeFault(request, protocols)
  return fault === null ? null : refused(fault, { 'sec-websocket-version': '13' })
}

function refused(detail: string, headers: Readonly<Record<string, string>> = {}): Refusal {
  return refuse('upgrade_not_supported', detail, { connection: 'close', ...headers })
}

/** Protocols asked for, lower-case. Without the word in `Connection` it asks for none. */
function protocolsOf({ upgrade, connection = '' }: IncomingHttpHeaders): string[] {
  if (upgrade === undefined) return []
  const named = connection.toLowerCase().split(/[\s,]+/)
  return named.includes('upgrade') ? listOf(upgrade.toLowerCase()) : []
}

function handshakeFault(request: GuardedRequest, protocols: readonly string[]): string | null {
  const { method, url = '', headers, httpVersion } = request
  if (method !== 'GET' || httpVersion !== '1.1') return 'A WebSocket begins with GET in HTTP/1.1.'
  if (protocols.length !== 1) return 'Ask for a WebSocket alone.'
  // The plugin compares the raw target with its prefix.
  if (url !== REALTIME_PATH && !url.startsWith(`${REALTIME_PATH}?`)) {
    return `Write the path as ${REALTIME_PATH}.`
  }
  const length = headers['content-length'] ?? '0'
  if (headers['transfer-encoding'] !== undefined || length !== '0') return 'Send no body.'
  if (headers['sec-websocket-version'] !== '13') return 'Only WebSocket version 13 is spoken here.'
  if (!KEY.test(headers['sec-websocket-key'] ?? '')) return 'Sec-WebSocket-Key is missing or wrong.'
  const offered = headers['sec-websocket-protocol']
  if (offered === undefined) return null
  const names = listOf(offered)
  const good = names.every((name) => TOKEN.test(name)) && new Set(names).size === names.length
  return good ? null : 'Sec-WebSocket-Protocol is no list of different tokens.'
}

function listOf(value: string): string[] {
  return value.split(',').map((item) => item.trim())
}
