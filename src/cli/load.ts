import type { ConfigResult } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { envFilePath } from '../config/sources.ts'
import type { CliIo } from './io.ts'
import type { ConfigFlags } from './handlers.ts'

/** The configuration as of now, and the file that belongs to it. */
export interface Loaded {
  readonly result: ConfigResult
  /** Path of the env file that was read; null: there is none. */
  readonly envFile: string | null
}

/**
 * Reads environment, env file and flags. `--envfile` is `GENGATE_ENV_FILE` by flag, so a file that
 * it names must exist; the default `.env` need not. Called again at each reload.
 */
export function load(io: Pick<CliIo, 'env' | 'readFile'>, flags: ConfigFlags): Loaded {
  const env = flags.envFile === undefined ? io.env : { ...io.env, GENGATE_ENV_FILE: flags.envFile }
  const path = envFilePath(env)
  const text = io.readFile(path)
  const file = text === null ? null : { path, text }
  const result = loadConfig({
    env,
    file,
    flags: { upstreams: flags.upstream ?? [] },
    readFile: io.readFile,
  })
  return { result, envFile: file?.path ?? null }
}
