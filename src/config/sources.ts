import { parseEnv } from 'node:util'
import type { ConfigIssue, Source } from './config.ts'
import { isOurs } from './names.ts'
import { quoted } from './parsed.ts'

/** The environment, as `process.env` has it. */
export type Env = Readonly<Record<string, string | undefined>>

/** An env file as it was read. */
export interface EnvFile {
  readonly path: string
  readonly text: string
}

/** The text of one variable, and who said it. */
export interface Given {
  readonly text: string
  readonly source: Source
}

/** All variables that concern us. */
export interface Gathered {
  readonly given: ReadonlyMap<string, Given>
  /** Names that the file sets and the environment sets otherwise. */
  readonly shadowed: readonly string[]
  readonly issues: readonly ConfigIssue[]
}

const ENV_FILE = 'GENGATE_ENV_FILE'
const ENV_FILE_DEFAULT = '.env'

/** The env file to read: the one that the environment names, else `.env`. */
export function envFilePath(env: Env): string {
  const named = env[ENV_FILE]?.trim() ?? ''
  return named === '' ? ENV_FILE_DEFAULT : named
}

/** Merges environment and file: the environment wins, an empty text counts as unset. Pure. */
export function gather(env: Env, file: EnvFile | null): Gathered {
  const issues: ConfigIssue[] = []
  const given = new Map<string, Given>()
  const shadowed: string[] = []
  for (const [name, text] of Object.entries(file === null ? {} : variablesOf(file))) {
    if (isSet(name, text)) given.set(name, { text, source: 'file' })
  }
  const inFile = given.get(ENV_FILE)
  if (inFile !== undefined) {
    given.delete(ENV_FILE)
    // The printed settings name the file they came from; saved as that file they do no harm.
    if (inFile.text !== file?.path) {
      issues.push({ name: ENV_FILE, message: 'cannot be set in the env file itself.' })
    }
  }
  for (const [name, text] of Object.entries(env)) {
    if (!isSet(name, text)) continue
    const below = given.get(name)
    if (below !== undefined && below.text !== text) shadowed.push(name)
    given.set(name, { text, source: 'env' })
  }
  if (given.has(ENV_FILE) && file === null) {
    const path = quoted(given.get(ENV_FILE)?.text ?? '')
    issues.push({ name: ENV_FILE, message: `names ${path}, which cannot be read.` })
  }
  for (const name of file === null ? [] : linesWithoutValue(file.text)) {
    issues.push({ name, message: 'stands in the env file without a =. Write NAME=value.' })
  }
  return { given, shadowed, issues }
}

function isSet(name: string, text: string | undefined): text is string {
  return isOurs(name) && text !== undefined && text !== ''
}

function variablesOf(file: EnvFile): NodeJS.Dict<string> {
  return parseEnv(withoutMark(file.text))
}

/** Editors on Windows put a byte-order mark in front, which would become part of the first name. */
function withoutMark(text: string): string {
  return text.replace(/^\uFEFF/, '')
}

/** `parseEnv` skips lines that it does not understand; one of ours must not vanish. */
function linesWithoutValue(text: string): string[] {
  return withoutMark(text)
    .split(/\r?\n/)
    .flatMap((line) => /^\s*(?:export\s+)?(GENGATE_\w+)(?!\w)[^=]*$/.exec(line)?.[1] ?? [])
}
