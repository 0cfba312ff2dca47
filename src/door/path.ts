/** A request target that has one reading only. */
export interface Target {
  /** Canonical: what guards, lanes and the upstream all see. */
  readonly path: string
  /** As it was sent, with its question mark; '' when there is none. */
  readonly query: string
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

/** A segment's text; null where it is no text, or would mean more when decoded once again. */
function decoded(segment: string): string | null {
  let text = segment
  try {
    text = decodeURIComponent(segment)
  } catch {
    return null
  }
  if (/%[\da-f]{2}/i.test(text) || /[\p{Cc}\\]/u.test(text)) return null
  return text
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
