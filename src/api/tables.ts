import type { EngineError } from './engine-error.ts'

/** APIs whose answers are lists of choices. */
export type ChoiceApi = 'chat' | 'completions' | 'embeddings'

/** APIs whose streams are events that say of which type they are. */
export type TypedApi = 'responses' | 'messages'

/** The kinds of answer that the gate can judge. `json`: rerank, score, tokenize and their like,
 *  which have no common shape and no streams. */
export type AnswerApi = ChoiceApi | TypedApi | 'json'

/** What one server-sent event of an answer is. */
export type EventVerdict =
  /** New tokens, of whatever kind, and nothing else. The first one is the commit
   *  (docs/decisions/0003). */
  | {
      readonly kind: 'content'
      /** Choices that it shows and that go on, by index; none where the event was only screened. */
      readonly open: readonly number[]
    }
  /** Proves nothing: comments, roles, empty deltas, usage. */
  | {
      readonly kind: 'neutral'
      /** Choices that it shows and that go on; absent: none. */
      readonly open?: readonly number[]
    }
  /** Choices ended properly. An answer without choices counts as one with index 0. */
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
      /** For people; the engine's own sentence where it said one, clipped. */
      readonly message: string
      /** All that the engine said; null: only that it stopped. */
      readonly said: EngineError | null
    }
  /** The last event of the stream: `[DONE]`, `message_stop`. Proves no success: engines send it
   *  after errors too (vLLM: a dying core). */
  | { readonly kind: 'done' }

/**
 * What in an object is new: any text, list or object that is not empty, in these members alone
 * (`only`), or in every member but some (`except`). Engines and routers add members of their own:
 * images, audio, annotations, reasoning under ever new names.
 */
export type Members =
  | { readonly only: readonly string[]; readonly except?: undefined }
  | { readonly except: readonly string[]; readonly only?: undefined }

/** Members of a delta, a message or a block that say what it is, and bring nothing. */
const ABOUT_ITSELF = [
  'role',
  'name',
  'index',
  'id',
  'type',
  'object',
  'created',
  'model',
  'tool_use_id',
  'finish_reason',
  'stop_reason',
] as const

/** What an answer of one API with choices looks like, as data. */
export interface ChoiceTable {
  /** The member of a streamed choice that holds what is new; null: the choice itself. */
  readonly delta: string | null
  readonly members: Members
  /** The member of a unary answer that must be a list with something in it. */
  readonly unary: string
}

/** The tables for answers with choices, one per API (docs/decisions/0020). */
export const CHOICE_TABLES: Readonly<Record<ChoiceApi, ChoiceTable>> = {
  chat: { delta: 'delta', members: { except: ABOUT_ITSELF }, unary: 'choices' },
  // Here they stand beside logprobs, token ids and the like.
  completions: {
    delta: null,
    members: { only: ['text', 'reasoning', 'reasoning_content'] },
    unary: 'choices',
  },
  embeddings: { delta: null, members: { only: [] }, unary: 'data' },
}

/** What an event of some type may be; the other types prove nothing. */
export type Meaning = 'content' | 'end' | 'done' | 'error' | 'abort'

/** What a stream of typed events looks like, as data. */
export interface TypedTable {
  /** What the types mean. */
  readonly types: Readonly<Record<string, Meaning>>
  /** Types that end like this are content, too. */
  readonly contentSuffix: string
  /** The members of an event that hold what is new; none: the event itself. */
  readonly deltas: readonly string[]
  readonly members: Members
}

/** The tables for typed events, one per API (docs/decisions/0020). */
export const TYPED_TABLES: Readonly<Record<TypedApi, TypedTable>> = {
  responses: {
    types: {
      'response.completed': 'end',
      // At a limit of tokens, or by a filter: what a finish reason of `length` is elsewhere.
      'response.incomplete': 'end',
      'response.failed': 'error',
      'response.cancelled': 'abort',
      'response.image_generation_call.partial_image': 'content',
      'response.output_text.annotation.added': 'content',
      error: 'error',
    },
    // Text, reasoning, its summary, refusals, arguments of all kinds of calls, sound.
    contentSuffix: '.delta',
    deltas: [],
    members: { only: ['delta', 'partial_image_b64', 'annotation'] },
  },
  messages: {
    types: {
      // A block that starts may bring its first text along.
      content_block_start: 'content',
      message_delta: 'end',
      message_stop: 'done',
      error: 'error',
    },
    contentSuffix: 'content_block_delta',
    deltas: ['delta', 'content_block'],
    members: { except: ABOUT_ITSELF },
  },
}

/** What an event of this type is; null: it proves nothing. */
export function meaningOf(table: TypedTable, type: string): Meaning | null {
  if (type.endsWith(table.contentSuffix)) return 'content'
  return Object.hasOwn(table.types, type) ? (table.types[type] ?? null) : null
}

/** Finish reasons by which an engine says that it was stopped: vLLM sends `abort` with status 200
 *  when it shuts down. Every other word is a proper end, also one that we have never seen. */
const IMPROPER: readonly string[] = ['abort', 'error']

/** What a finish or stop reason says; null: the choice goes on. */
export function finishOf(reason: unknown): 'proper' | 'improper' | null {
  if (typeof reason !== 'string' || reason === '') return null
  return IMPROPER.includes(reason) ? 'improper' : 'proper'
}

/** Does the object bring anything new in these members? */
export function isContent(members: Members, object: Readonly<Record<string, unknown>>): boolean {
  const { only, except } = members
  if (only !== undefined) return only.some((key) => isSubstance(object[key]))
  return Object.keys(object).some((key) => !except.includes(key) && isSubstance(object[key]))
}

/** A text, a list or an object that is not empty. */
function isSubstance(value: unknown): boolean {
  if (typeof value === 'string') return value.length > 0
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0
}
