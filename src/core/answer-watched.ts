import { type AnswerApi, CHOICE_TABLES, TYPED_TABLES, type TypedApi } from './answer-tables.ts'

/** What the value of a key makes of an event that is only looked at. */
export type Rule =
  /** Anything but `null` is a reason to look closely. */
  | 'null'
  /** The word `error` is. */
  | 'kind'
  /** The type of an event that may be an end or an error is. */
  | 'response_type'
  | 'message_type'
  /** A non-empty text is content, a list or an object a reason to look closely. */
  | 'text'
  /** A non-empty text or list, or an object, is content. */
  | 'other'

/** A key to look at, wherever in the event it stands. */
export interface Watched {
  readonly key: Uint8Array
  readonly rule: Rule
}

type ByLength = readonly (readonly Watched[])[]
type Row = readonly [key: string, rule: Rule]

const ERROR: readonly Row[] = [
  ['error', 'null'],
  ['object', 'kind'],
]
const CHOICE: readonly Row[] = [...ERROR, ['finish_reason', 'null']]

/** The keys to look at, by their length. Made of the tables that `classifyEvent` goes by. */
export const WATCHED: Readonly<Record<Exclude<AnswerApi, 'json'>, ByLength>> = {
  chat: byLength(CHOICE, CHOICE_TABLES.chat),
  completions: byLength(CHOICE, CHOICE_TABLES.completions),
  embeddings: byLength(CHOICE, CHOICE_TABLES.embeddings),
  responses: byLength([...ERROR, ['type', 'response_type']], TYPED_TABLES.responses),
  messages: byLength([...ERROR, ['type', 'message_type']], TYPED_TABLES.messages),
}

/** How the names of the many events end that are content: the others are rare enough to be read
 *  closely. */
export const QUIET_NAMES: Readonly<Record<TypedApi, Uint8Array>> = {
  responses: new TextEncoder().encode(TYPED_TABLES.responses.contentSuffix),
  messages: new TextEncoder().encode(TYPED_TABLES.messages.contentSuffix),
}

function byLength(
  rows: readonly Row[],
  { texts, others }: { readonly texts: readonly string[]; readonly others: readonly string[] },
): ByLength {
  const all: readonly Row[] = [
    ...rows,
    ...texts.map((key): Row => [key, 'text']),
    ...others.map((key): Row => [key, 'other']),
  ]
  const longest = Math.max(...all.map(([key]) => key.length))
  return Array.from({ length: longest + 1 }, (_, length) =>
    all
      .filter(([key]) => key.length === length)
      .map(([key, rule]) => ({ key: new TextEncoder().encode(key), rule })),
  )
}
