import { clip } from '../errors/body.ts'
import type { Config, ConfigIssue, Setting } from './config.ts'
import { KNOWN_NAMES } from './defaults.ts'
import { meaningOf, variableOf } from './names.ts'
import { nearest } from './nearest.ts'

/** One line per setting in force, `NAME=value  # source`. It can be saved as an env file, but for
 *  the keys, which are shown as `(set)`. */
export function printConfig(config: Config): string[] {
  return config.settings.map((setting) => {
    const remarks = [setting.source, ...remarksOn(config, setting)]
    return `${setting.name}=${inQuotes(setting.value)}  # ${remarks.join('; ')}`
  })
}

/** The same for programs: plain data, no secret. */
export interface PrintedConfig {
  readonly env_file: string | null
  readonly settings: readonly (Setting & { readonly shadowed: boolean; readonly unused: boolean })[]
  /** In order of preference, as they are in force. */
  readonly upstreams: readonly {
    readonly name: string
    readonly engine: string
    readonly url: string
    readonly model: string | null
    readonly intent: string
    readonly probe: string
    readonly cold: string
    readonly max_concurrency: number | null
    readonly auth_env_keys: readonly string[]
  }[]
}

export function configToJson(config: Config): PrintedConfig {
  return {
    env_file: config.envFile,
    settings: config.settings.map((setting) => ({
      ...setting,
      shadowed: config.shadowed.includes(setting.name),
      unused: config.unused.includes(setting.name),
    })),
    upstreams: config.upstreams.map(({ spec, apiKeyNames }) => ({
      name: spec.name,
      engine: spec.engine,
      url: spec.url,
      model: spec.model,
      intent: spec.intent,
      probe: spec.probe,
      cold: spec.cold,
      max_concurrency: spec.maxConcurrency,
      auth_env_keys: apiKeyNames,
    })),
  }
}

/** What is set for upstreams that are not listed, a sentence each: legal, and perhaps a slip. Pure. */
export function unusedNotes({ unused, upstreams }: Pick<Config, 'unused' | 'upstreams'>): string[] {
  const listed = upstreams.map(({ spec }) => spec.name)
  const settings = new Map<string, string[]>()
  for (const name of unused) {
    const meaning = meaningOf(name)
    if (meaning.kind !== 'field') continue
    const others = settings.get(meaning.upstream) ?? []
    settings.set(meaning.upstream, [...others, name])
  }
  return [...settings].map(([upstream, names]) => {
    const none = `${names.join(', ')} ${names.length === 1 ? 'has' : 'have'} no effect: no upstream ${upstream} is listed.`
    const meant = KNOWN_NAMES.includes(upstream)
      ? null
      : nearest(upstream, [...listed, ...KNOWN_NAMES])
    return `${none} ${meant === null ? 'GENGATE_UPSTREAMS lists them.' : `Did you mean ${meant}?`}`
  })
}

/** Upstreams that have their address from a name that is nearly another, a sentence each. Pure. */
export function guessedNotes({
  upstreams,
  settings,
}: Pick<Config, 'upstreams' | 'settings'>): string[] {
  return upstreams.flatMap(({ spec: { name, engine, url } }) => {
    const setting = settings.find((one) => one.name === variableOf(name, 'URL'))
    const meant = KNOWN_NAMES.includes(name) ? null : nearest(name, KNOWN_NAMES)
    // `ollama2` and `ollama_big` are what they look like.
    const isNamed =
      meant !== null && /^[_\d]/.test(name.slice(meant.length)) && name.startsWith(meant)
    if (setting?.source !== 'default' || meant === null || isNamed) return []
    return [`upstream ${name} is taken for ${engine} at ${url} by its name. Did you mean ${meant}?`]
  })
}

/** Longest line that an issue may take, characters. */
const ISSUE_MAX = 500

/** One issue as a line for people. A name comes from the environment and may hold anything. */
export function printIssue({ name, message }: ConfigIssue): string {
  return clip(`${clip(name, ISSUE_MAX / 5)} ${message}`, ISSUE_MAX)
}

function remarksOn(config: Config, { name }: Setting): string[] {
  const remarks: string[] = []
  if (config.shadowed.includes(name)) remarks.push('the env file says otherwise')
  if (config.unused.includes(name)) remarks.push('no effect: this upstream is not listed')
  return remarks
}

/** Quotes what `parseEnv` and shells would cut or change. Single quotes first: in double ones
 *  `parseEnv` turns \n into a line break. */
function inQuotes(value: string): string {
  if (/^[\w.,:/@%+=()[\]-]+$/.test(value)) return value
  const quote = ["'", '`', '"'].find((mark) => !value.includes(mark))
  return quote === undefined ? value : `${quote}${value}${quote}`
}
