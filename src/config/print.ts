import { clip } from '../errors/body.ts'
import type { Config } from './load.ts'
import { meaningOf, variableOf } from './names.ts'
import type { ConfigIssue, Setting } from './sources.ts'

/** One line per setting in force, `NAME=value  # source`. It can be saved as an env file, but for
 *  the keys, which are shown as `(set)`. */
export function printConfig(config: Config): string[] {
  return config.settings.map((setting) => {
    const remarks = [setting.source, ...remarksOn(config, setting)]
    return `${setting.name}=${inQuotes(setting.value)}  # ${remarks.join('; ')}`
  })
}

/** The same for programs: plain data, no secret. Upstreams are in order of preference. */
export function configToJson(config: Config): Record<string, unknown> {
  return {
    env_file: config.envFile,
    settings: config.settings.map((setting) => ({
      ...setting,
      shadowed: config.shadowed.includes(setting.name),
      unused: config.unused.includes(setting.name),
    })),
    upstreams: config.upstreams.map(({ spec, apiKeyNames }) => {
      const { name, engine, url, model, intent, probe, cold, maxConcurrency } = spec
      const limits = { max_concurrency: maxConcurrency, auth_env_keys: apiKeyNames }
      return { name, engine, url, model, intent, probe, cold, ...limits }
    }),
  }
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

/**
 * What differs between two configurations, by the names of the settings: values in force count, whatever
 * their source. A changed key counts; it is never shown. `needsRestart`: those that take effect only when
 * the gate starts again; all others apply to the running gate.
 */
export function diffConfig(was: Config, now: Config): Record<'changed' | 'needsRestart', string[]> {
  const before = valuesOf(was)
  const after = valuesOf(now)
  const names = new Set([...before.keys(), ...after.keys()])
  const changed = [...names].filter((name) => before.get(name) !== after.get(name)).toSorted()
  return { changed, needsRestart: changed.filter(needsRestart) }
}

function needsRestart(name: string): boolean {
  const meaning = meaningOf(name)
  return meaning.kind !== 'unknown' && meaning.row.restart === true
}

/** Settings by name; where a key hangs on a setting, the key is part of its value. */
function valuesOf(config: Config): Map<string, string> {
  const values = new Map(config.settings.map(({ name, value }) => [name, value]))
  const attach = (name: string, secret: string): void => {
    const value = values.get(name)
    if (value !== undefined) values.set(name, `${value}\n${secret}`)
  }
  for (const { spec, apiKey, apiKeyNames, run } of config.upstreams) {
    for (const name of apiKeyNames) attach(name, apiKey ?? '')
    attach(variableOf(spec.name, 'RUN'), JSON.stringify(run))
  }
  for (const name of ['GENGATE_API_KEYS', 'GENGATE_API_KEYS_FILE']) {
    attach(name, config.apiKeys.join('\n'))
  }
  return values
}
