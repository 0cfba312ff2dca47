import { textTo } from './types.ts'
import { SECRET_SHOWN } from './values.ts'

/** A command line as data: no shell will see it. */
export interface CommandLine {
  readonly command: string
  readonly args: readonly string[]
  /** From `NAME=value` words in front of the command. Undefined: not inherited. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** What separates words; a line that is continued is one line. */
const BLANKS = /(?:\s|\\\n)*/y
/** A piece of a word: '…', "…", \ with what it quotes, or text in which a shell sees nothing to do. */
const PIECE = /'([^']*)'|"((?:[^"\\$`]|\\[^])*)"|\\(?:\n|([^]))|([^\s'"\\|&;<>()$`*?]+)/y
const ASSIGNMENT = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s

/**
 * Splits a command line into words as a POSIX shell would: blanks separate, '…' and "…" and \ quote.
 * What needs a shell is refused instead of being passed on as it stands: pipes, redirections, several
 * commands, variables, patterns, `~`, comments. Messages never repeat the text: it may hold keys. Pure.
 */
export const commandLine = textTo((text, refuse): CommandLine => {
  if (text.trim() === SECRET_SHOWN) {
    return refuse(
      `holds ${SECRET_SHOWN}, which only stands for a command line in printed settings.`,
    )
  }
  if (text.includes('\0')) return refuse('holds a NUL.')
  const words = wordsOf(text)
  if (typeof words === 'string') return refuse(words)
  const env: Record<string, string> = {}
  for (let first = words[0]; first !== undefined; first = words[0]) {
    const [, name, value] = first.plain ? (ASSIGNMENT.exec(first.text) ?? []) : []
    if (name === undefined || value === undefined) break
    if (name.startsWith('GENGATE_')) return refuse('sets a variable of the gate for the engine.')
    env[name] = value
    words.shift()
  }
  const [command, ...args] = words.map((word) => word.text)
  if (command === undefined || command === '') return refuse('names no command.')
  return { command, args, env }
})

interface Word {
  readonly text: string
  /** Does it begin outside of quotes? Only then can it set a variable. */
  readonly plain: boolean
}

/** Its words, or what is wrong with one. */
function wordsOf(text: string): Word[] | string {
  const words: Word[] = []
  let at = 0
  const take = (form: RegExp): readonly (string | undefined)[] => {
    form.lastIndex = at
    const found = form.exec(text) ?? []
    at += found[0]?.length ?? 0
    return found
  }
  for (take(BLANKS); at < text.length; take(BLANKS)) {
    const first = text[at] ?? ''
    if (first === '~' || first === '#') return shellText(first)
    let word = ''
    while (/\S/.test(text[at] ?? '')) {
      const [piece, single, double = '', escaped, plain] = take(PIECE)
      if (piece === undefined) return problemAt(text.slice(at))
      word += single ?? escaped ?? plain ?? double.replaceAll(/\\(?:\n|(["\\$`]))/g, '$1')
    }
    words.push({ text: word, plain: !/['"\\]/.test(first) })
  }
  return words
}

/** What is wrong where no piece of a word begins. */
function problemAt(rest: string): string {
  const [, inside] = /^"(?:[^"\\$`]|\\[^])*([$`])/.exec(rest) ?? []
  const char = inside ?? rest.slice(0, 1)
  if (char === '\\') return 'ends with a \\.'
  return /['"]/.test(char) ? `opens a ${char} and does not close it.` : shellText(char)
}

function shellText(char: string): string {
  return `uses ${char}, which needs a shell: there is none. Put it in single quotes, or start a script.`
}
