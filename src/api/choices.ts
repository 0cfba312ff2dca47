import { aborted, answerWithout, engineError, failed, finishOf, isContent } from './answer.ts'
import type { AnswerApi, EventVerdict, Fault, JsonObject, Members } from './api.ts'
import { OPENAI_ERRORS } from './frame.ts'
import { isObject, listOf, objectOf } from './read.ts'
import { screenOf } from './screen.ts'

/** What an answer of one API with choices looks like, as data. */
export interface ChoiceTable {
  /** The member of a streamed choice that holds what is new; null: the choice itself. */
  readonly delta: string | null
  readonly members: Members
  /** The member of a whole answer that must be a list with something in it. */
  readonly part: 'choices' | 'data'
  /** How a whole answer becomes events; absent: nobody knows. */
  readonly events?: ChoiceEvents
}

/** How the choices of a whole answer are written into events. */
export interface ChoiceEvents {
  /** What each event says that it is. */
  readonly object: string
  /** Null: this is not a choice of a whole answer. */
  readonly partsOf: (choice: JsonObject, at: number) => Parts | null
}

/** The two choices that streams make of one: with what it says, and with how it ended. */
interface Parts {
  readonly content: JsonObject
  readonly finish: JsonObject
}

const NEUTRAL: EventVerdict = { kind: 'neutral' }

/** The answers of an API with choices. */
export function choiceAnswers(table: ChoiceTable): AnswerApi {
  const { delta, members, part, events } = table
  return {
    ofEvent: ({ body }) => (body === null ? NEUTRAL : eventOf(table, body)),
    ofWhole: (body) => judgeParts(body, part),
    screen: screenOf({
      rows: [
        ['finish_reason', 'null'],
        ['index', 'index'],
      ],
      holders: delta === null ? [] : [delta],
      members,
    }),
    depthMax: 4,
    streamEnd: 'by_upstream',
    errors: OPENAI_ERRORS,
    asEvents: events && ((body, usage) => wrapAsEvents(events, body, usage)),
  }
}

function eventOf({ delta, members }: ChoiceTable, body: JsonObject): EventVerdict {
  const finished: number[] = []
  const open: number[] = []
  let improper: string | null = null
  let content = false
  for (const choice of listOf(body['choices'])) {
    const news = delta === null ? choice : choice[delta]
    if (isObject(news) && isContent(members, news)) content = true
    // A router's way to say what became of this choice (OpenRouter).
    const error = isObject(choice['error']) ? engineError(choice) : null
    if (error !== null) return failed(error)
    const finish = finishOf(choice['finish_reason'])
    if (finish === null) open.push(indexOf(choice))
    else if (finish === 'proper') finished.push(indexOf(choice))
    else improper = String(choice['finish_reason'])
  }
  if (improper !== null) return aborted(`finish_reason: ${improper}`)
  if (finished.length > 0) return { kind: 'end', content, finished, open }
  if (content) return { kind: 'content', open }
  return open.length > 0 ? { kind: 'neutral', open } : NEUTRAL
}

/** Completions of old servers carry no index: there is one choice. */
function indexOf(choice: JsonObject): number {
  const { index } = choice
  return typeof index === 'number' ? index : 0
}

function judgeParts(body: JsonObject, member: string): Fault | null {
  const parts = listOf(body[member])
  if (parts.length === 0) return answerWithout(member)
  const error = parts.find((part) => isObject(part['error']))
  if (error !== undefined) return failed(engineError(error))
  const improper = parts.find((part) => finishOf(part['finish_reason']) === 'improper')
  return improper ? aborted(`finish_reason: ${String(improper['finish_reason'])}`) : null
}

/** Does a whole answer show that something was generated? `message`: where a choice holds it; null: in
 *  itself. Pure. */
export function provesChoice(
  body: JsonObject,
  { message, members }: { readonly message: string | null; readonly members: Members },
): boolean {
  return listOf(body['choices']).some((choice) => {
    const said = message === null ? choice : choice[message]
    const ended = finishOf(choice['finish_reason']) === 'proper'
    return ended || (isObject(said) && isContent(members, said))
  })
}

/** What every event repeats of the answer. */
const ABOUT: readonly string[] = ['id', 'created', 'model', 'system_fingerprint', 'service_tier']
const DONE = 'data: [DONE]\n\n'
const decoder = new TextDecoder()

/**
 * A whole JSON answer as the event stream that the client asked for: some servers ignore `stream:
 * true` (PyPI's vllm-metal). Otherwise bytes go on as they are (docs/decisions/0015). Per choice one event
 * with all that it says and one with its finish reason, then the usage if it was asked for, then
 * `[DONE]`. Null: the answer has no choices. Pure.
 */
function wrapAsEvents(
  { object, partsOf }: ChoiceEvents,
  body: Uint8Array,
  includeUsage: boolean,
): Buffer | null {
  const answer = objectOf(decoder.decode(body))
  if (answer === null || answer['error']) return null
  const { choices, usage } = answer
  if (!Array.isArray(choices) || choices.length === 0 || !choices.every(isObject)) return null
  const about = Object.fromEntries(Object.entries(answer).filter(([key]) => ABOUT.includes(key)))
  const event = (list: readonly JsonObject[], more: JsonObject = {}): string =>
    `data: ${JSON.stringify({ ...about, object, choices: list, ...more })}\n\n`
  const parts = choices.map(partsOf)
  if (!parts.every((part) => part !== null)) return null
  const events = [
    ...parts.map(({ content }) => event([content])),
    ...parts.map(({ finish }) => event([finish])),
    ...(includeUsage && isObject(usage) ? [event([], { usage })] : []),
    DONE,
  ]
  return Buffer.from(events.join(''))
}
