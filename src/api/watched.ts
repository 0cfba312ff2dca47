import {
  type AnswerApi,
  CHOICE_TABLES,
  type Members,
  TYPED_TABLES,
  type TypedApi,
} from './tables.ts'

/** What the value of a key makes of an event that is only looked at. */
export type Rule =
  /** Anything but `null` is a reason to look closely. */
  | 'null'
  /** Anything but 0 is: the usual choice is the only one. */
  | 'index'
  /** The word `error` is. */
  | 'kind'
  /** The type of an event that may be an end or an error is. */
  | 'response_type'
  | 'message_type'
  /** A text, a list or an object that is not empty is content. */
  | 'news'
  /** The members of the object in it are, but for those that are quiet. */
  | 'holder'
  /** Nothing that stands in it is news. */
  | 'quiet'

/** A key to look at, wherever in the event it stands; a quiet one only in a holder. */
export interface Watched {
  readonly key: Uint8Array
  readonly rule: Rule
}

type ByLength = readonly (readonly Watched[])[]
type Row = readonly [key: string, rule: Rule]

const ERROR: readonly Row[] = [
  ['error', 'null'],
  ['detail', 'null'],
  ['object', 'kind'],
]
const CHOICE: readonly Row[] = [...ERROR, ['finish_reason', 'null'], ['index', 'index']]

/** The keys to look at, by their length. Made of the tables that `classifyEvent` goes by. */
export const WATCHED: Readonly<Record<Exclude<AnswerApi, 'json'>, ByLength>> = {
  chat: ofTable(CHOICE, ['delta'], CHOICE_TABLES.chat.members),
  completions: ofTable(CHOICE, [], CHOICE_TABLES.completions.members),
  embeddings: ofTable(CHOICE, [], CHOICE_TABLES.embeddings.members),
  responses: ofTable([...ERROR, ['type', 'response_type']], [], TYPED_TABLES.responses.members),
  messages: ofTable(
    [...ERROR, ['type', 'message_type']],
    TYPED_TABLES.messages.deltas,
    TYPED_TABLES.messages.members,
  ),
}

/** How the names of the many events end that are content: the others are rare enough to be read
 *  closely. */
export const QUIET_NAMES: Readonly<Record<TypedApi, Uint8Array>> = {
  responses: new TextEncoder().encode(TYPED_TABLES.responses.contentSuffix),
  messages: new TextEncoder().encode(TYPED_TABLES.messages.contentSuffix),
}

function ofTable(rows: readonly Row[], holders: readonly string[], members: Members): ByLength {
  const watched = new Set(rows.map(([key]) => key))
  const quiet = (members.except ?? []).filter((key) => !watched.has(key))
  return byLength([
    ...rows,
    ...holders.map((key): Row => [key, 'holder']),
    ...(members.only ?? []).map((key): Row => [key, 'news']),
    ...quiet.map((key): Row => [key, 'quiet']),
  ])
}

function byLength(all: readonly Row[]): ByLength {
  const longest = Math.max(...all.map(([key]) => key.length))
  return Array.from({ length: longest + 1 }, (_, length) =>
    all
      .filter(([key]) => key.length === length)
      .map(([key, rule]) => ({ key: new TextEncoder().encode(key), rule })),
  )
}
