import {
  bad,
  encodingProblem,
  entriesOf,
  good,
  isHalfQuoted,
  type Parsed,
  unquoted,
} from './parsed.ts'

/** What `config print` shows in place of a secret. Refused as a key, since printed settings may be
 *  saved as an env file. */
export const SECRET_SHOWN = '(set)'

/** One API key; quotation marks around it are no part of it. Messages never repeat it. */
export function parseKey(quotedText: string): Parsed<string> {
  const text = unquoted(quotedText)
  if (text.trim() === '') return bad('holds an empty key.')
  if (text === SECRET_SHOWN) {
    return bad(`holds ${SECRET_SHOWN}, which only stands for a key in printed settings.`)
  }
  if (/[\r\n\0]/.test(text)) return bad('holds a key with a line break or a NUL in it.')
  // RFC 6750 allows less; anything else could not be sent in an Authorization header.
  if (!/^[\x21-\x7e]+$/.test(text)) {
    return bad('holds a key with a space or another character that a header cannot carry.')
  }
  if (isHalfQuoted(text)) return bad('holds a key with a quotation mark at its start or end.')
  return good(text)
}

/** `GENGATE_API_KEYS`: keys separated by commas. */
export function parseKeyList(text: string): Parsed<readonly string[]> {
  // Only blanks around a comma go: a line break is a mistake that must be seen.
  return parseEach(
    unquoted(text)
      .split(',')
      .map((key) => key.replace(/^[ \t]+|[ \t]+$/g, '')),
  )
}

/** The content of `_API_KEY_FILE`: one key; one line break at its end is usual and not part of it. */
export function parseKeyFile(content: string): Parsed<string> {
  return inFile(content, (text) => parseKey(text.replace(/\r?\n$/, '')))
}

/** The content of `GENGATE_API_KEYS_FILE`: one key a line, empty lines do not count. */
export function parseKeysFile(content: string): Parsed<readonly string[]> {
  return inFile(content, (text) => {
    const lines = entriesOf(text, '\n')
    return lines.length === 0 ? bad('holds no key.') : parseEach(lines)
  })
}

function inFile<T>(content: string, parse: (text: string) => Parsed<T>): Parsed<T> {
  const problem = encodingProblem(content)
  return problem === null
    ? parse(content.replace(/^\uFEFF/, ''))
    : bad(`names a file that ${problem}`)
}

function parseEach(texts: readonly string[]): Parsed<readonly string[]> {
  const keys = new Set<string>()
  const messages = new Set<string>()
  for (const text of texts) {
    const key = parseKey(text)
    if (key.ok) keys.add(key.value)
    else for (const message of key.messages) messages.add(message)
  }
  return messages.size > 0 ? bad(...messages) : good([...keys])
}
