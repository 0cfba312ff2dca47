import { type GuardedRequest, type Refusal, refuse } from './guard-policy.ts'

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
    return bad('Content-Length is no number.')
  }
  const coding = headers['transfer-encoding']
  if (coding === undefined) return null
  if (httpVersion === '1.0') return bad('HTTP/1.0 has no Transfer-Encoding.')
  if (length !== undefined) return bad('Content-Length and Transfer-Encoding exclude each other.')
  return codingFault(coding)
}

function repeated(rawHeaders: readonly string[]): string | null {
  const seen = new Set<string>()
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase() ?? ''
    if (!SINGLE.has(name)) continue
    if (seen.has(name)) return name
    seen.add(name)
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
