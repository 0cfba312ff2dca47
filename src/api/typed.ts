import { aborted, isContent } from './answer.ts'
import type { AnswerApi, EventVerdict, JsonObject, Members, ReadEvent } from './api.ts'
import { isObject } from './read.ts'
import { screenOf } from './screen.ts'

/** What an event of some type may be; the other types prove nothing. */
type Meaning = 'content' | 'end' | 'done' | 'error' | 'abort'

/** What a stream looks like whose events say of which type they are, as data. */
export interface TypedTable {
  /** What the types mean. */
  readonly types: Readonly<Record<string, Meaning>>
  /** Types that end like this are content, too. */
  readonly contentSuffix: string
  /** The members of an event that hold what is new; none: the event itself. */
  readonly deltas: readonly string[]
  readonly members: Members
  /** What an event that is an end by its type says of it. */
  readonly endOf: (body: JsonObject) => EventVerdict
  /** What an event that is an error by its type says of it. */
  readonly errorOf: (body: JsonObject) => EventVerdict
}

const NEUTRAL: EventVerdict = { kind: 'neutral' }
const DONE: EventVerdict = { kind: 'done' }
/** An answer without choices counts as one with index 0. */
const CONTENT: EventVerdict = { kind: 'content', open: [0] }
/** The proper end of an answer without choices. */
export const END: EventVerdict = { kind: 'end', content: false, finished: [0], open: [] }

/** How the events of such an API read. */
export function typedEvents(table: TypedTable): Pick<AnswerApi, 'ofEvent' | 'screen' | 'depthMax'> {
  const { types, contentSuffix, deltas, members } = table
  return {
    ofEvent: (event) => eventOf(table, event),
    screen: screenOf({
      rows: [['type', 'type']],
      holders: deltas,
      members,
      types: {
        quiet: contentSuffix,
        others: Object.keys(types).filter((type) => types[type] !== 'content'),
      },
    }),
    depthMax: 3,
  }
}

/** `name` tells the type of data that does not. */
function eventOf(table: TypedTable, { name, body }: ReadEvent): EventVerdict {
  if (body === null) return NEUTRAL
  const { type } = body
  switch (meaningOf(table, typeof type === 'string' ? type : name)) {
    case null:
      return NEUTRAL
    case 'content': {
      const { deltas, members } = table
      const parts = deltas.length === 0 ? [body] : deltas.map((key) => body[key])
      return parts.some((part) => isObject(part) && isContent(members, part)) ? CONTENT : NEUTRAL
    }
    case 'end':
      return table.endOf(body)
    case 'done':
      return DONE
    case 'error':
      return table.errorOf(body)
    case 'abort':
      return aborted('status: cancelled')
  }
}

/** What an event of this type is; null: it proves nothing. */
function meaningOf({ types, contentSuffix }: TypedTable, type: string): Meaning | null {
  if (type.endsWith(contentSuffix)) return 'content'
  return Object.hasOwn(types, type) ? (types[type] ?? null) : null
}
