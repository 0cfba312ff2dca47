import type { ModelGroup } from '../core/table.ts'
import type { Config } from './config.ts'
import { KNOWN_NAMES } from './defaults.ts'
import { didYouMean } from './nearest.ts'
import { bad, entriesOf, good, type Parsed, quoted } from './parsed.ts'
import { parseUpstreamUrl } from './upstream-url.ts'

/** One entry of `GENGATE_UPSTREAMS` or one `--upstream`. */
export type ListedUpstream =
  | { readonly name: string; readonly url: string | null }
  /** A bare URL: it is named when all other names are known. */
  | { readonly name: null; readonly url: string }

/** What an upstream may be called. */
const UPSTREAM_NAME = /^[a-z][a-z0-9_]*$/

/** Longest model name that a request may carry, characters (`invalid_model`). */
const MODEL_NAME_MAX = 256

/** `GENGATE_UPSTREAMS`: `name` or `name=url`, separated by commas, first one first. */
export function parseUpstreams(text: string): Parsed<readonly ListedUpstream[]> {
  const entries = entriesOf(text, ',')
  if (entries.length === 0) return bad('lists no upstream.')
  const listed = entries.map((entry) =>
    /^https?:/i.test(entry)
      ? bad('holds a URL without a name. Write it as in big=http://127.0.0.1:8001.')
      : parseNamed(entry),
  )
  const messages = listed.flatMap((one) => (one.ok ? [] : one.messages))
  return messages.length > 0 ? bad(...messages) : good(listed.flatMap((o) => (o.ok ? o.value : [])))
}

/** `--upstream [name=]url`; a name alone is accepted too, as in `GENGATE_UPSTREAMS`. */
export function parseUpstreamFlag(text: string): Parsed<ListedUpstream> {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return parseNamed(text.trim())
  const url = parseUpstreamUrl(text)
  return url.ok ? good({ name: null, url: url.value }) : bad(...inEntry('', url.messages))
}

function parseNamed(entry: string): Parsed<ListedUpstream> {
  const at = entry.indexOf('=')
  const name = (at < 0 ? entry : entry.slice(0, at)).trim()
  if (!UPSTREAM_NAME.test(name)) {
    // A text with an @ or a colon may be a URL with a password: it is not repeated.
    const isUrl = /[@:/]/.test(name)
    const shown = isUrl ? 'an entry' : quoted(name)
    return bad(
      `holds ${shown}, which is no name: small letters, digits and _, a letter first. ` +
        `A URL starts with http:// or https://.${isUrl ? '' : didYouMean(name, KNOWN_NAMES)}`,
    )
  }
  if (at < 0) return good({ name, url: null })
  const url = parseUpstreamUrl(entry.slice(at + 1).trim())
  return url.ok ? good({ name, url: url.value }) : bad(...inEntry(` of ${name}`, url.messages))
}

function inEntry(whose: string, messages: readonly string[]): string[] {
  return messages.map((message) => `holds a URL${whose} that is refused: it ${message}`)
}

/** `GENGATE_MODELS`: `public=upstream:name|upstream:name; …`. Model names may contain `:` and `/`. */
export function parseModels(text: string): Parsed<readonly ModelGroup[]> {
  const groups: ModelGroup[] = []
  const messages: string[] = []
  for (const entry of entriesOf(text, ';')) {
    const [, name = '', list = ''] = /^([^=]*)=(.*)$/s.exec(entry) ?? []
    const members = entriesOf(list, '|').map((member) => {
      const [, upstream = '', model = ''] = /^([^:]*):(.*)$/s.exec(member) ?? []
      return { upstream: upstream.trim(), model: model.trim() }
    })
    const group = { public: name.trim(), members }
    const wrong = wrongGroup(group, groups)
    if (wrong === null) groups.push(group)
    else messages.push(`holds ${quoted(entry)}: ${wrong}`)
  }
  if (groups.length === 0 && messages.length === 0) messages.push('holds no group.')
  return messages.length > 0 ? bad(...messages) : good(groups)
}

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
  if (longest > MODEL_NAME_MAX) return `a model name has at most ${MODEL_NAME_MAX} characters.`
  return null
}

/** `GENGATE_EMBEDDED`: `auto`, `off`, or the path of a GGUF. */
export function parseEmbedded(text: string): Parsed<Config['embedded']> {
  if (text === 'auto' || text === 'off') return good({ mode: text })
  if (text.includes('/') || /\.gguf$/i.test(text)) return good({ mode: 'path', path: text })
  return bad(
    `must be auto, off, or the path of a GGUF (with a slash, or ending in .gguf), not ${quoted(text)}.`,
  )
}

/** `GENGATE_ALLOWED_HOSTS`: host names without port, separated by commas; in lower case. */
export function parseHostNames(text: string): Parsed<readonly string[]> {
  return parseEntries(text, (entry) => {
    const name = entry.toLowerCase().replace(/\.$/, '')
    if (/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(name)) return name
    return { wrong: 'a host name has no scheme, no port and no wildcard.' }
  })
}

/** `GENGATE_ALLOWED_ORIGINS`: `scheme://host[:port]`, separated by commas; as browsers send them. */
export function parseOrigins(text: string): Parsed<readonly string[]> {
  return parseEntries(text, (entry) => {
    const origin = entry.toLowerCase().replace(/\/$/, '')
    // Pages without an origin: files and sandboxed frames.
    if (origin === 'null') return origin
    // Browser extensions and desktop shells have origins of other schemes than http.
    if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\\\s*]+$/.test(origin)) {
      return { wrong: 'an origin is written as in https://chat.example:3000; * is not possible.' }
    }
    if (!/^https?:/.test(origin)) return origin
    return URL.parse(origin)?.origin ?? { wrong: 'it is no origin that can be read.' }
  })
}

function parseEntries(
  text: string,
  parse: (entry: string) => string | { readonly wrong: string },
): Parsed<readonly string[]> {
  const values = new Set<string>()
  const messages: string[] = []
  for (const entry of entriesOf(text, ',')) {
    const value = parse(entry)
    if (typeof value === 'string') values.add(value)
    else messages.push(`holds ${quoted(entry)}: ${value.wrong}`)
  }
  return messages.length > 0 ? bad(...messages) : good([...values])
}
