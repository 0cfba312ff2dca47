import type { Turn } from './request.ts'

/** What a conversation without a system turn begins with, for a model that was never taught turns. */
const PREAMBLE =
  'A conversation between a user and a helpful assistant. The assistant answers in one or two plain sentences.'

/** Ends an answer inside a transcript: the model begins to speak for the user. The longer one
 *  first, so the empty line in front goes with it. */
export const TRANSCRIPT_STOPS: readonly string[] = ['\n\nUser:', '\nUser:']

/**
 * A conversation as plain text to be continued, for base models: a GGUF without a chat template
 * knows no turns, and a template of another model makes it echo the question (seen on Gemma 3 270M,
 * base). Pure.
 */
export function transcriptOf(turns: readonly Turn[]): string {
  const system = turns.filter(({ role }) => role === 'system').map(({ text }) => text)
  const said = turns
    .filter(({ role }) => role !== 'system')
    .map(({ role, text }) => `${role === 'user' ? 'User' : 'Assistant'}: ${text.trim()}`)
  const preamble = system.length === 0 ? PREAMBLE : system.join('\n')
  return [preamble, ...said, 'Assistant:'].join('\n\n')
}

/** What the toy continues: the user's last words, without the mark that ends the sentence, which
 *  could be followed by the end of the text at once. Pure. */
export function lastWordsOf(turns: readonly Turn[]): string {
  const last = turns.findLast(({ role }) => role === 'user')?.text ?? ''
  return ` ${last.trim().replace(/[\s.?!]+$/, '')}`
}
