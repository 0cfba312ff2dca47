import { bad, good, type Parsed } from './parsed.ts'

/** Routes that people paste along with the base URL. */
const ENDPOINT = /\/v1\/(chat\/completions|completions|embeddings|models|responses|messages)$/

/**
 * The base URL of an upstream: http or https, with or without `/v1` and trailing slashes. Becomes
 * the URL without both; a deeper path before `/v1` is kept. Messages never repeat the text, since
 * a URL may hold a password. Reading the value again gives the same value.
 */
export function parseUpstreamUrl(text: string): Parsed<string> {
  if (/[\s\\\p{Cc}]/u.test(text)) return bad('must not contain spaces or backslashes.')
  const [, rest] = /^https?:\/\/(.*)$/i.exec(text) ?? []
  if (rest === undefined) {
    return bad('must start with http:// or https://, as in http://127.0.0.1:8001.')
  }
  const authority = rest.split(/[/?#]/, 1)[0] ?? ''
  // Also behind the first slash: that slash may belong to a password.
  if (rest.includes('@')) {
    return bad('must not hold a user name or a password. Put the key into the _API_KEY setting.')
  }
  if (/[?#]/.test(rest)) return bad('must not have a query or a fragment (? or #).')
  if (/^\[[^\]]*%/.test(authority)) {
    return bad('must not have an IPv6 zone (% and what follows). Use an address without one.')
  }
  const url = URL.parse(text)
  if (url === null) return bad('is no URL that can be read. Write it as in http://127.0.0.1:8001.')
  const [, port] = /:(\d+)$/.exec(authority) ?? []
  if (port !== undefined && Number(port) === 0) return bad('must not name port 0.')
  if (port === undefined && url.protocol === 'http:') {
    return bad('must name the port, as in http://127.0.0.1:8001 (or :80 if it really is 80).')
  }
  return withBasePath(url, port)
}

function withBasePath(url: URL, port: string | undefined): Parsed<string> {
  const path = url.pathname.replace(/\/+$/, '')
  if (path.includes('//')) return bad('must not have an empty path segment (//).')
  if (ENDPOINT.test(path)) return bad('must be the base URL only: leave out what follows /v1.')
  const base = path.replace(/\/v1$/, '')
  if (base.endsWith('/v1')) return bad('must not end in /v1/v1.')
  // `URL` drops :80, which we ask people to write; it stays so that the value can be read again.
  const shownPort = url.protocol === 'http:' ? Number(port) : url.port
  const authority = shownPort === '' ? url.hostname : `${url.hostname}:${shownPort}`
  return good(`${url.protocol}//${authority}${base}`)
}
