import {
  type Config,
  type ConfigResult,
  loadConfig,
  type LoadInput,
  readApiKeys,
} from '../config/load.ts'
import type { FindProgram } from '../config/notes.ts'
import { printIssue } from '../config/print.ts'
import { Reading } from '../config/reading.ts'
import { type ConfigIssue, type EnvFile, envFilePath, gather } from '../config/sources.ts'
import { readList, readUpstream } from '../config/upstreams.ts'
import { thisMachine } from '../launch/preflight.ts'
import { type CliIo, EXIT } from './io.ts'

/** Flags of every command that reads the configuration. */
export interface ConfigFlags {
  /** `[name=]url`, in order of preference. */
  readonly upstream?: readonly string[]
  readonly envFile?: string
}

/** The upstream to list first, wherever it stands. */
type First = NonNullable<LoadInput['flags']['first']>

/** What the configuration is read from. */
type Surroundings = Pick<CliIo, 'env' | 'readFile' | 'exists'>

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
export function load(io: Surroundings, flags: ConfigFlags, first?: First): Loaded {
  const { env, file } = sources(io, flags)
  const result = loadConfig({
    env,
    file,
    flags: { upstreams: flags.upstream ?? [], ...(first === undefined ? {} : { first }) },
    readFile: io.readFile,
  })
  return { result, envFile: file?.path ?? null }
}

/** As much of a configuration as a question to the running gate takes. */
export type Askable = Pick<Config, 'host' | 'port' | 'apiKeys' | 'upstreams'>

/** A mistake in one of these leaves open where the gate listens, or what key it wants. */
const ADDRESS: ReadonlySet<string> = new Set([
  'GENGATE_ENV_FILE',
  'GENGATE_HOST',
  'GENGATE_PORT',
  'GENGATE_API_KEYS',
  'GENGATE_API_KEYS_FILE',
])

/**
 * The same of a configuration that is not valid as a whole: a running gate has kept its old one, and
 * whoever asks it wants to know just then. Upstreams without a usable URL are left out. Null: its
 * address or key cannot be told.
 */
export function askable(
  io: Surroundings,
  flags: ConfigFlags,
  result: Extract<ConfigResult, { ok: false }>,
): Askable | null {
  const { env, file } = sources(io, flags)
  if (result.issues.some(({ name }) => ADDRESS.has(name) || name === file?.path)) return null
  const reading = new Reading(gather(env, file), io.readFile)
  const listed = readList(reading, { upstreams: flags.upstream ?? [] })
  return {
    host: reading.global('GENGATE_HOST'),
    port: reading.global('GENGATE_PORT'),
    apiKeys: readApiKeys(reading),
    upstreams: listed.flatMap((one) => readUpstream(reading, one) ?? []),
  }
}

/** What `LOCAL_LLM_BACKEND` says, before anything is checked; null: nothing. */
export function backendOf(io: Surroundings, flags: ConfigFlags): string | null {
  const { env, file } = sources(io, flags)
  return gather(env, file).given.get('LOCAL_LLM_BACKEND')?.text.trim() ?? null
}

function sources(
  io: Surroundings,
  flags: ConfigFlags,
): { env: CliIo['env']; file: EnvFile | null } {
  const env = flags.envFile === undefined ? io.env : { ...io.env, GENGATE_ENV_FILE: flags.envFile }
  const path = envFilePath(env)
  const text = io.readFile(path)
  if (text !== null) return { env, file: { path, text } }
  // The default file need not be there; one that is there was meant, whoever may read it.
  const isMeant = io.exists?.(path) === true
  return { env: isMeant ? { ...env, GENGATE_ENV_FILE: path } : env, file: null }
}

/** Says everything that is wrong with the configuration, one line each, then what to do; the exit code. */
export function tellIssues(
  io: Pick<CliIo, 'err'>,
  issues: readonly ConfigIssue[],
  envFile: string | null,
): number {
  const file = envFile === null ? 'the environment' : `the environment or ${envFile}`
  io.err(`gengate: ${countOf(issues)} not valid:`)
  for (const issue of issues) io.err(`  ${printIssue(issue)}`)
  io.err(`Correct ${file}, then try \`gengate config check\`.`)
  return EXIT.usage
}

/** The same as a warning, where a running gate is asked all the same. */
export function warnOfIssues(io: Pick<CliIo, 'err'>, issues: readonly ConfigIssue[]): void {
  io.err(`gengate: warning: ${countOf(issues)} not valid; the gate is asked all the same:`)
  for (const issue of issues) io.err(`  ${printIssue(issue)}`)
}

function countOf({ length }: readonly ConfigIssue[]): string {
  return length === 1 ? 'one setting is' : `${length} settings are`
}

/** Finds programs as the gate would: on the PATH of the line itself, else on that of `io`. */
export function programsOf(io: Pick<CliIo, 'env'>): FindProgram {
  return (name, env) => thisMachine({ ...io.env, ...env }).program(name)
}
