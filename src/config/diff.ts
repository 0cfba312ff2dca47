import type { Config } from './config.ts'
import { meaningOf, variableOf } from './names.ts'

/** What differs between two configurations, by the names of the settings. */
export interface ConfigDiff {
  readonly changed: readonly string[]
  /** Those of them that take effect only when the gate starts again: address and port. Everything
   *  else applies to the running gate. */
  readonly needsRestart: readonly string[]
}

/** Compares values in force, whatever their source. A changed key counts; it is never shown. */
export function diffConfig(was: Config, now: Config): ConfigDiff {
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
