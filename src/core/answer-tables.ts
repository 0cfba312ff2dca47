/** The kinds of answer that the gate can judge. */
export type AnswerApi = 'chat' | 'completions' | 'embeddings'

/** What one server-sent event of an answer is. */
export type EventVerdict =
  /** New tokens, of whatever kind, and nothing else. The first one is the commit (design D6). */
  | {
      readonly kind: 'content'
      /** Choices that it shows and that go on, by index; none where the event was only screened. */
      readonly open: readonly number[]
    }
  /** Proves nothing: comments, roles, empty deltas, usage. */
  | { readonly kind: 'neutral' }
  /** Choices ended properly. */
  | {
      readonly kind: 'end'
      /** Did new tokens come with it? */
      readonly content: boolean
      /** Their indexes, to be counted against `n`. */
      readonly finished: readonly number[]
      /** Choices that it shows and that go on. */
      readonly open: readonly number[]
    }
  /** The upstream gave up: an error frame, or a finish reason that is no proper end. */
  | {
      readonly kind: 'error'
      readonly why: 'error' | 'abort'
      readonly content: boolean
      readonly message: string
    }
  /** `[DONE]`. Proves no success: engines send it after errors too (vLLM: a dying core). */
  | { readonly kind: 'done' }

/** What an answer of one API looks like, as data. */
export interface AnswerTable {
  /** The member of a streamed choice that holds what is new; null: the choice itself. */
  readonly delta: string | null
  /** Members that hold text: content when it is not empty. Some engines send a list of parts. */
  readonly texts: readonly string[]
  /** Members that hold something else: content when it is an object or a list with something. */
  readonly others: readonly string[]
  /** The member of a unary answer that must be a list with something in it. */
  readonly unary: string
}

/** THE tables of D18, one per API. */
export const ANSWER_TABLES: Readonly<Record<AnswerApi, AnswerTable>> = {
  chat: {
    delta: 'delta',
    // `reasoning` is vLLM's and Ollama's word, `reasoning_content` that of the others.
    texts: ['content', 'reasoning', 'reasoning_content', 'refusal'],
    others: ['tool_calls', 'function_call', 'audio'],
    unary: 'choices',
  },
  completions: {
    delta: null,
    texts: ['text', 'reasoning', 'reasoning_content'],
    others: [],
    unary: 'choices',
  },
  embeddings: { delta: null, texts: [], others: [], unary: 'data' },
}

/** Finish reasons by which an engine says that it was stopped: vLLM sends `abort` with status 200
 *  when it shuts down. Every other word is a proper end, also one that we have never seen. */
const IMPROPER: readonly string[] = ['abort', 'error']

/** What a finish reason says; null: the choice goes on. */
export function finishOf(reason: unknown): 'proper' | 'improper' | null {
  if (typeof reason !== 'string' || reason === '') return null
  return IMPROPER.includes(reason) ? 'improper' : 'proper'
}

/** Does the delta bring anything new? */
export function isContent(table: AnswerTable, delta: Readonly<Record<string, unknown>>): boolean {
  return (
    table.texts.some((key) => isSubstance(delta[key])) ||
    table.others.some((key) => isSubstance(delta[key]))
  )
}

/** A non-empty text or list, or an object. */
function isSubstance(value: unknown): boolean {
  if (typeof value === 'string' || Array.isArray(value)) return value.length > 0
  return typeof value === 'object' && value !== null
}
