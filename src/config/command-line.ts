import { textTo } from './types.ts'
import { SECRET_SHOWN } from './values.ts'

/** A command line as data: no shell will see it. */
export interface CommandLine {
  readonly command: string
  readonly args: readonly string[]
  /** From `NAME=value` words in front of the command. Undefined: not inherited. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** What only a shell could do, outside of quotes. */
const FOR_A_SHELL = '|&;<>()$`*?'
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
  while (at < text.length) {
    if (/\s/.test(text[at] ?? '')) at++
    else if (text.startsWith('\\\n', at)) at += 2
    else {
      const word = wordAt(text, at)
      if (typeof word === 'string') return word
      words.push({ text: word.text, plain: !/['"\\]/.test(text[at] ?? '') })
      at = word.end
    }
  }
  return words
}

/** The word that begins at `start`, or what is wrong with it. */
function wordAt(text: string, start: number): { text: string; end: number } | string {
  let word = ''
  let at = start
  for (; at < text.length && !/\s/.test(text[at] ?? '');) {
    const char = text[at] ?? ''
    if (char === "'" || char === '"') {
      const quote = quoteAt(text, at)
      if (typeof quote === 'string') return quote
      word += quote.text
      at = quote.end
    } else if (char === '\\') {
      if (at + 1 >= text.length) return 'ends with a \\.'
      // A line that is continued is one line.
      if (text[at + 1] !== '\n') word += text[at + 1]
      at += 2
    } else {
      if (FOR_A_SHELL.includes(char)) return shellText(char)
      if (at === start && (char === '~' || char === '#')) return shellText(char)
      word += char
      at++
    }
  }
  return { text: word, end: at }
}

/** The text between the quotes that open at `start`. */
function quoteAt(text: string, start: number): { text: string; end: number } | string {
  const quote = text[start] ?? ''
  let inside = ''
  for (let at = start + 1; at < text.length; at++) {
    const char = text[at] ?? ''
    if (char === quote) return { text: inside, end: at + 1 }
    if (quote === "'") inside += char
    else if (char === '\\' && '"\\$`\n'.includes(text[at + 1] ?? ' ')) {
      at++
      if (text[at] !== '\n') inside += text[at] ?? ''
    } else if (char === '$' || char === '`') return shellText(char)
    else inside += char
  }
  return `opens a ${quote} and does not close it.`
}

function shellText(char: string): string {
  return `uses ${char}, which needs a shell: there is none. Put it in single quotes, or start a script.`
}
