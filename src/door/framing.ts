import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { knownPath, REALTIME_PATH } from '../api/index.ts'
import type { ErrorCode } from '../errors/catalogue.ts'

/** What the guards look at. */
export type GuardedRequest = Readonly<
  Pick<IncomingMessage, 'method' | 'url' | 'rawHeaders' | 'headers' | 'httpVersion'>
>

/** Why a request may not come in. */
export interface Refusal {
  readonly ok: false
  readonly code: ErrorCode
  /** For people, appended to the code's own message; may be ''. Never holds client input. */
  readonly detail: string
  /** What the answer must say besides: `Allow`, `WWW-Authenticate`, CORS for an allowed page. */
  readonly headers: Readonly<Record<string, string>>
}

/** A refusal, for the guards. */
export function refuse(
  code: ErrorCode,
  detail = '',
  headers: Readonly<Record<string, string>> = {},
): Refusal {
  return { ok: false, code, detail, headers }
}

/** Headers that must not come twice: two readers could take different ones. */
const SINGLE: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-type',
  'content-encoding',
  'origin',
  'expect',
])
const LENGTH_DIGITS_MAX = 15

/**
 * What is wrong with the HTTP of a request, or null. node's parser refuses most of it already;
 * what it lets pass, or passes when it is told to be lenient, ends here.
 */
export function framingFault(request: GuardedRequest): Refusal | null {
  const { headers, rawHeaders, httpVersion } = request
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return bad('Only HTTP/1.1 is spoken here.')
  const twice = repeated(rawHeaders)
  if (twice === 'expect') return refuse('expectation_failed')
  if (twice === 'content-type') return refuse('unsupported_media_type', 'It comes twice.')
  if (twice !== null) return bad(`The ${twice} header comes twice.`)
  if (headers.host === undefined && httpVersion === '1.1') return bad('The Host header is missing.')
  const length = headers['content-length']
  if (length !== undefined && !(/^\d+$/.test(length) && length.length <= LENGTH_DIGITS_MAX)) {
    return bad('Content-Length is not a number.')
  }
  const coding = headers['transfer-encoding']
  if (coding === undefined) return null
  if (httpVersion === '1.0') return bad('HTTP/1.0 has no Transfer-Encoding.')
  if (length !== undefined) return bad('Content-Length and Transfer-Encoding exclude each other.')
  return codingFault(coding)
}

function repeated(rawHeaders: readonly string[]): string | null {
  // For every request: no list of all names is made.
  const seen: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase() ?? ''
    if (!SINGLE.has(name)) continue
    if (seen.includes(name)) return name
    seen.push(name)
  }
  return null
}

/** Only `chunked` is understood. What would be fine HTTP elsewhere is told apart from nonsense. */
function codingFault(coding: string): Refusal | null {
  // Not `trim`: it takes a vertical tab for a space, which other parsers do not.
  const codings = coding.toLowerCase().split(/[ \t]*,[ \t]*/)
  if (codings.at(-1) !== 'chunked' || codings.indexOf('chunked') !== codings.length - 1) {
    return bad('Transfer-Encoding must end in chunked, once.')
  }
  if (codings.length === 1) return null
  // Where its body ends is unknown.
  return refuse('unsupported_transfer_coding', '', { connection: 'close' })
}

function bad(detail: string): Refusal {
  return refuse('bad_framing', detail, { connection: 'close' })
}

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
  return good ? null : 'Sec-WebSocket-Protocol is not a list of different tokens.'
}

function listOf(value: string): string[] {
  return value.split(',').map((item) => item.trim())
}

/** A request target that has one reading only. */
export interface Target {
  /** Canonical: what guards, lanes and the upstream all see. */
  readonly path: string
  /** As it was sent, with its question mark; '' when there is none. */
  readonly query: string
}

/** What a request asks for. */
interface Asked extends Target {
  /** What an absolute target names as its host. */
  readonly authority: string | undefined
}

/** The canonical target, without a slash behind a known route; null: it has no single reading.
 *  Pure. */
export function targetOf({ method, url = '' }: GuardedRequest): Asked | null {
  if (method === 'OPTIONS' && url === '*') return { path: '*', query: '', authority: undefined }
  const absolute = /^http:\/\/([^/?#]*)(.*)$/i.exec(url)
  if (absolute === null && !url.startsWith('/')) return null
  const [, authority, rest = ''] = absolute ?? [url, undefined, url]
  const target = canonicalPath(rest.startsWith('/') ? rest : `/${rest}`)
  return target === null ? null : { path: knownPath(target.path), query: target.query, authority }
}

/**
 * The one reading of a request target in origin-form (`/…`), or null where servers could read it
 * in different ways: dot segments in any encoding, escapes of escapes, backslashes, slashes in
 * disguise, empty segments, broken escapes, control and raw non-ASCII bytes, fragments. Letters
 * written as escapes become letters. Model ids alone may hold `%2F`, which becomes a slash.
 */
export function canonicalPath(rawUrl: string): Target | null {
  const plain = PLAIN.exec(rawUrl)
  if (plain !== null) return { path: plain[1] ?? '', query: plain[2] ?? '' }
  if (!/^\/[\u0021-\u007e]*$/.test(rawUrl) || rawUrl.includes('#')) return null
  const mark = rawUrl.indexOf('?')
  const rawPath = mark === -1 ? rawUrl : rawUrl.slice(0, mark)
  const query = mark === -1 ? '' : rawUrl.slice(mark)
  const segments: string[] = []
  for (const raw of rawPath.slice(1).split('/')) {
    const text = decoded(raw)
    if (text === null) return null
    const parts = text.split('/')
    if (parts.length > 1 && !isModelId(segments)) return null
    segments.push(...parts)
  }
  // An empty last segment is a trailing slash; any other is a double one.
  if (segments.slice(0, -1).includes('') || segments.some(isDots)) return null
  return { path: `/${segments.map(encoded).join('/')}`, query }
}

/** A segment's text; null where it is not text, or would mean more when decoded once again. */
function decoded(segment: string): string | null {
  try {
    const text = decodeURIComponent(segment)
    return /%[\da-f]{2}|[\p{Cc}\\]/iu.test(text) ? null : text
  } catch {
    return null
  }
}

/** The canonical spelling: escapes only where RFC 3986 wants them in a path. */
function encoded(text: string): string {
  return encodeURIComponent(text).replaceAll(/%(?:24|26|2B|2C|3A|3B|3D|40)/g, decodeURIComponent)
}

/** `.` or `..`, also with the path parameters that Java servers cut off (`..;x`). */
function isDots(text: string): boolean {
  return /^\.{1,2}(?:;.*)?$/.test(text)
}

function isModelId(before: readonly string[]): boolean {
  return before.length >= 2 && before[0] === 'v1' && before[1] === 'models'
}

/** What almost every request asks for: words between single slashes, which have one reading. */
const PLAIN = /^((?:\/[\w-]+)+)(\?[\u0021-\u0022\u0024-\u007e]*)?$/
