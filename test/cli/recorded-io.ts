import type { Config, ConfigResult } from '../../src/config/config.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { CliIo } from '../../src/cli/io.ts'
import { systemClock } from '../../src/runtime/clock.ts'

/** A command line's surroundings that keep what was printed. */
export interface RecordedIo extends CliIo {
  readonly stdout: string[]
  readonly stderr: string[]
}

/** Surroundings with this environment, no files and no colours. */
export function recordedIo(env: CliIo['env'] = {}): RecordedIo {
  const stdout: string[] = []
  const stderr: string[] = []
  return {
    env,
    stdout,
    stderr,
    out: (line) => stdout.push(line),
    err: (line) => stderr.push(line),
    colour: false,
    clock: systemClock,
    readFile: () => null,
  }
}

/** The result of loading nothing but this environment. */
export function resultOf(env: CliIo['env'] = {}): ConfigResult {
  return loadConfig({ env, file: null, flags: { upstreams: [] }, readFile: () => null })
}

/** The same where it must be valid. */
export function configOf(env: CliIo['env'] = {}): Config {
  const result = resultOf(env)
  if (!result.ok) throw new Error(JSON.stringify(result.issues))
  return result.config
}
