import { isIP } from 'node:net'
import type { ModelGroup } from '../core/table.ts'
import { didYouMean, KNOWN_NAMES } from './known.ts'
import {
  encodingProblem,
  entriesOf,
  isHalfQuoted,
  quoted,
  readAs,
  type Refuse,
  textTo,
  unquoted,
} from './types.ts'

/** `GENGATE_HOST`: an IP address or a name, without port, in lower case and without brackets. */
export const host = textTo((text, refuse) => {
  const name = text.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  const isName = /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(name) && !/^[0-9.]+$/.test(name)
  if (isIP(name) !== 0 || isName) return name
  return refuse(
    `must be an IP address or a host name, not ${quoted(text)}. The port goes into GENGATE_PORT.`,
  )
})

/** Routes that people paste along with the base URL. */
const ENDPOINT = /\/v1\/(chat\/completions|completions|embeddings|models|responses|messages)$/

/**
 * The base URL of an upstream: http or https, with or without `/v1` and trailing slashes. Becomes
 * the URL without both; a deeper path before `/v1` is kept. Messages never repeat the text, since
 * a URL may hold a password. Reading the value again gives the same value.
 */
export const upstreamUrl = textTo((text, refuse) => {
  if (/[\s\\\p{Cc}]/u.test(text)) return refuse('must not contain spaces or backslashes.')
  const [, rest] = /^https?:\/\/(.*)$/i.exec(text) ?? []
  if (rest === undefined) {
    return refuse('must start with http:// or https://, as in http://127.0.0.1:8001.')
  }
  const authority = rest.split(/[/?#]/, 1)[0] ?? ''
  // Also behind the first slash: that slash may belong to a password.
  if (rest.includes('@')) {
    return refuse('must not hold a user name or a password. Put the key into the _API_KEY setting.')
  }
  if (/[?#]/.test(rest)) return refuse('must not have a query or a fragment (? or #).')
  if (/^\[[^\]]*%/.test(authority)) {
    return refuse('must not have an IPv6 zone (% and what follows). Use an address without one.')
  }
  const url = URL.parse(text)
  if (url === null) return refuse('cannot be read as a URL. Write it as in http://127.0.0.1:8001.')
  const [, port] = /:(\d+)$/.exec(authority) ?? []
  if (port !== undefined && Number(port) === 0) return refuse('must not name port 0.')
  if (port === undefined && url.protocol === 'http:') {
    return refuse('must name the port, as in http://127.0.0.1:8001 (or :80 if it really is 80).')
  }
  const path = url.pathname.replace(/\/+$/, '')
  if (path.includes('//')) return refuse('must not have an empty path segment (//).')
  if (ENDPOINT.test(path)) return refuse('must be the base URL only: leave out what follows /v1.')
  const base = path.replace(/\/v1$/, '')
  if (base.endsWith('/v1')) return refuse('must not end in /v1/v1.')
  // `URL` drops :80, which we ask people to write; it stays so that the value can be read again.
  const shownPort = url.protocol === 'http:' ? Number(port) : url.port
  const shown = shownPort === '' ? url.hostname : `${url.hostname}:${shownPort}`
  return `${url.protocol}//${shown}${base}`
})

/** One entry of `GENGATE_UPSTREAMS` or one `--upstream`. */
export type ListedUpstream =
  | { readonly name: string; readonly url: string | null }
  /** A bare URL: it is named when all other names are known. */
  | { readonly name: null; readonly url: string }

/** What an upstream may be called. */
const UPSTREAM_NAME = /^[a-z][a-z0-9_]*$/

/** `GENGATE_UPSTREAMS`: `name` or `name=url`, separated by commas, first one first. */
export const upstreamList = textTo((text, refuse): readonly ListedUpstream[] => {
  const entries = entriesOf(text, ',')
  if (entries.length === 0) return refuse('lists no upstream.')
  return entries.map((entry) =>
    /^https?:/i.test(entry)
      ? refuse('holds a URL without a name. Write it as in big=http://127.0.0.1:8001.')
      : named(entry, refuse),
  )
})

/** `--upstream [name=]url`; a name alone is accepted too, as in `GENGATE_UPSTREAMS`. */
export const upstreamFlag = textTo((text, refuse): ListedUpstream => {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return named(text.trim(), refuse)
  return { name: null, url: urlIn(text, '', refuse) }
})

function named(entry: string, refuse: Refuse): ListedUpstream {
  const at = entry.indexOf('=')
  const name = (at < 0 ? entry : entry.slice(0, at)).trim()
  if (UPSTREAM_NAME.test(name)) {
    return { name, url: at < 0 ? null : urlIn(entry.slice(at + 1).trim(), ` of ${name}`, refuse) }
  }
  // A text with an @ or a colon may be a URL with a password: it is not repeated.
  const isUrl = /[@:/]/.test(name)
  const what = isUrl ? 'an entry' : quoted(name)
  return refuse(
    `holds ${what}, which cannot be a name: use small letters, digits and _, a letter first. ` +
      `A URL starts with http:// or https://.${isUrl ? '' : didYouMean(name, KNOWN_NAMES)}`,
  )
}

function urlIn(text: string, whose: string, refuse: Refuse): string {
  const url = readAs(upstreamUrl, text)
  if (url.ok) return url.value
  for (const message of url.messages) refuse(`holds a URL${whose} that is refused: it ${message}`)
  return ''
}

/** Longest model name that a request may carry, characters (`invalid_model`). */
const MODEL_NAME_MAX = 256

/** `GENGATE_MODELS`: `public=upstream:name|upstream:name; …`. Model names may contain `:` and `/`. */
export const modelGroups = textTo((text, refuse): readonly ModelGroup[] => {
  const entries = entriesOf(text, ';')
  if (entries.length === 0) return refuse('holds no group.')
  const groups: ModelGroup[] = []
  for (const entry of entries) {
    const [, name = '', list = ''] = /^([^=]*)=(.*)$/s.exec(entry) ?? []
    const members = entriesOf(list, '|').map((member) => {
      const [, upstream = '', model = ''] = /^([^:]*):(.*)$/s.exec(member) ?? []
      return { upstream: upstream.trim(), model: model.trim() }
    })
    const group = { public: name.trim(), members }
    const wrong = wrongGroup(group, groups)
    if (wrong === null) groups.push(group)
    else refuse(`holds ${quoted(entry)}: ${wrong}`)
  }
  return groups
})

function wrongGroup(group: ModelGroup, before: readonly ModelGroup[]): string | null {
  const { members } = group
  const complete = members.every(({ upstream, model }) => upstream !== '' && model !== '')
  if (group.public === '' || members.length === 0 || !complete) {
    return 'write public=upstream:model, more members after |, the next group after a semicolon.'
  }
  if (before.some((other) => other.public === group.public)) return 'that name is already taken.'
  const names = new Set(members.map(({ upstream, model }) => `${upstream}:${model}`))
  if (names.size < members.length) return 'a member stands there twice.'
  const longest = Math.max(group.public.length, ...members.map(({ model }) => model.length))
  return longest > MODEL_NAME_MAX ? `a model name has at most ${MODEL_NAME_MAX} characters.` : null
}

/** `off`, `auto` (it may join: nothing else was configured), or the path of a GGUF. */
export type Embedded =
  | { readonly mode: 'off' }
  | { readonly mode: 'auto' }
  | { readonly mode: 'path'; readonly path: string }

/** `GENGATE_EMBEDDED`. */
export const embedded = textTo((text, refuse): Embedded => {
  if (text === 'auto' || text === 'off') return { mode: text }
  if (text.includes('/') || /\.gguf$/i.test(text)) return { mode: 'path', path: text }
  return refuse(
    `must be auto, off, or the path of a GGUF (with a slash, or ending in .gguf), not ${quoted(text)}.`,
  )
})

/** `GENGATE_ALLOWED_HOSTS`: host names without port, separated by commas; in lower case. */
export const hostNames = eachOf((entry, refuse) => {
  const name = entry.toLowerCase().replace(/\.$/, '')
  if (/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(name)) return name
  return refuse('a host name has no scheme, no port and no wildcard.')
})

/** `GENGATE_ALLOWED_ORIGINS`: `scheme://host[:port]`, separated by commas; as browsers send them. */
export const origins = eachOf((entry, refuse) => {
  const origin = entry.toLowerCase().replace(/\/$/, '')
  // Pages without an origin: files and sandboxed frames.
  if (origin === 'null') return origin
  // Browser extensions and desktop shells have origins of other schemes than http.
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\\\s*]+$/.test(origin)) {
    return refuse('write an origin as in https://chat.example:3000; * is not possible.')
  }
  if (!/^https?:/.test(origin)) return origin
  return URL.parse(origin)?.origin ?? refuse('it cannot be read as an origin.')
})

/** A list separated by commas, without duplicates; what is refused is named by its entry. */
function eachOf(
  parse: (entry: string, refuse: Refuse) => string,
): ReturnType<typeof textTo<readonly string[]>> {
  return textTo((text, refuse) => [
    ...new Set(
      entriesOf(text, ',').map((entry) =>
        parse(entry, (wrong) => refuse(`holds ${quoted(entry)}: ${wrong}`)),
      ),
    ),
  ])
}

/** What `config print` shows in place of a secret. Refused as a key, since printed settings may be
 *  saved as an env file. */
export const SECRET_SHOWN = '(set)'

/** One API key; quotation marks around it do not belong to it. Messages never repeat it. */
export const apiKey = textTo(keyOf)

/** `GENGATE_API_KEYS`: keys separated by commas. */
export const apiKeys = textTo((text, refuse): readonly string[] => {
  // Only blanks around a comma go: a line break is a mistake that must be seen.
  const keys = unquoted(text).split(',')
  return [...new Set(keys.map((key) => keyOf(key.replace(/^[ \t]+|[ \t]+$/g, ''), refuse)))]
})

/** The content of `_API_KEY_FILE`: one key; one line break at its end is usual and not part of it. */
export const apiKeyFile = inFile((text, refuse) => keyOf(text.replace(/\r?\n$/, ''), refuse))

/** The content of `GENGATE_API_KEYS_FILE`: one key a line, empty lines do not count. */
export const apiKeysFile = inFile((text, refuse): readonly string[] => {
  const lines = entriesOf(text, '\n')
  if (lines.length === 0) return refuse('holds no key.')
  return [...new Set(lines.map((line) => keyOf(line, refuse)))]
})

function inFile<T>(parse: (text: string, refuse: Refuse) => T): ReturnType<typeof textTo<T>> {
  return textTo((content, refuse) => {
    const problem = encodingProblem(content)
    if (problem !== null) return refuse(`names a file that ${problem}`)
    return parse(content.replace(/^\uFEFF/, ''), refuse)
  })
}

function keyOf(quotedText: string, refuse: Refuse): string {
  const text = unquoted(quotedText)
  if (text.trim() === '') return refuse('holds an empty key.')
  if (text === SECRET_SHOWN) {
    return refuse(`holds ${SECRET_SHOWN}, which only stands for a key in printed settings.`)
  }
  if (/[\r\n\0]/.test(text)) return refuse('holds a key with a line break or a NUL in it.')
  // RFC 6750 allows less; anything else could not be sent in an Authorization header.
  if (!/^[\x21-\x7e]+$/.test(text)) {
    return refuse('holds a key with a space or another character that a header cannot carry.')
  }
  if (isHalfQuoted(text)) return refuse('holds a key with a quotation mark at its start or end.')
  return text
}
