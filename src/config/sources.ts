import { parseEnv } from 'node:util'
import { isOurs } from './names.ts'
import { encodingProblem, quoted } from './types.ts'

/** Where a value came from. */
export type Source = 'default' | 'env' | 'file' | 'flag'

/** One setting as it was read, for `config print`. Secrets are shown as `(set)`. */
export interface Setting {
  readonly name: string
  readonly value: string
  readonly source: Source
}

/** One thing that is wrong with the configuration, in words that say what to do. */
export interface ConfigIssue {
  /** The variable or flag. */
  readonly name: string
  /** Goes on from the name: "must be …", "is not a setting. …". Never holds a secret. */
  readonly message: string
}

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
  const content = file === null ? '' : textOf(file, issues)
  for (const [name, text] of Object.entries(parseEnv(content))) {
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
  issues.push(...slipsIn(content))
  return { given, shadowed, issues }
}

function isSet(name: string, text: string | undefined): text is string {
  return isOurs(name) && text !== undefined && text !== ''
}

/** Its text with plain line ends, and without the byte-order marks and hard blanks that would become part
 *  of a name: editors on Windows put one in front. Not UTF-8: nothing of it, and an issue. */
function textOf({ path, text }: EnvFile, issues: ConfigIssue[]): string {
  const problem = encodingProblem(text)
  if (problem !== null) issues.push({ name: path, message: problem })
  return problem === null
    ? text.replaceAll(/\r\n?/g, '\n').replaceAll(/^[\uFEFF\u00A0]+/gm, '')
    : ''
}

/** A setting as `parseEnv` reads it: name, then mark, what it encloses and what follows, or the rest of the
 *  line. A value goes to its next mark, on whichever line. */
const SETTING =
  /^[^\S\n]*(?:export[^\S\n]+)?([A-Za-z_]\w*)(?:[^\S\n]*=[^\S\n]*(?:(["'`])([^]*?)\2(.*)|(.*))|[^=\n]*)$/gm

/** Settings of ours of which `parseEnv` would drop something without a word. */
function slipsIn(content: string): ConfigIssue[] {
  return [...content.matchAll(SETTING)].flatMap(([, name = '', ...parts]) => {
    const message = isOurs(name) ? slipOf(parts) : null
    return message === null ? [] : [{ name, message }]
  })
}

function slipOf([mark, inside = '', after = '', plain]: readonly (string | undefined)[]):
  | string
  | null {
  if (mark !== undefined) {
    const others = [...inside.matchAll(/\n[^\S\n]*(?:export[^\S\n]+)?(\w+)[^\S\n]*=/g)]
    if (others.some(([, other = '']) => isOurs(other))) return openText(mark)
    if (!/^\s*[^\s#]/.test(after)) return null
    return `goes on after its closing ${mark}, which would be lost. Put the whole value into quotes.`
  }
  if (plain === undefined) return 'stands in the env file without a =. Write NAME=value.'
  if (/^["'`]/.test(plain)) return openText(plain.slice(0, 1))
  const isCut = /^[^#]*[^\s#]#/.test(plain)
  return isCut
    ? 'is cut at its #, where a comment would begin. Put the whole value into quotes.'
    : null
}

function openText(mark: string): string {
  return `opens a ${mark} and does not close it.`
}
