import type { Generated, Piece } from './engine.ts'
import type { Route } from './request.ts'

/** What every object of one answer carries. */
export interface AnswerHead {
  readonly route: Route
  readonly id: string
  /** Seconds since 1970. */
  readonly created: number
  readonly model: string
}

type Finished = Extract<Generated, { kind: 'finished' }>

/** Ends a stream that ended properly; never sent after an error. */
export const DONE_EVENT = 'data: [DONE]\n\n'

/** The whole answer of a request that did not stream. */
export function unaryBody(head: AnswerHead, pieces: readonly Piece[], end: Finished): object {
  const said = textOf(pieces, false)
  const thought = textOf(pieces, true)
  const reasoning = thought === '' ? {} : { reasoning_content: thought }
  const answer =
    head.route === 'chat'
      ? { message: { role: 'assistant', content: said, ...reasoning } }
      : { text: thought + said }
  const choice = { index: 0, ...answer, logprobs: null, finish_reason: end.finishReason }
  return { ...frame(head, 'whole'), choices: [choice], usage: usageOf(end) }
}

/** The first event of a chat stream. A stream of completions has none. */
export function roleEvent(head: AnswerHead): string {
  if (head.route === 'completions') return ''
  return event(head, { delta: { role: 'assistant', content: '' }, finish_reason: null })
}

/** One piece of generated text. */
export function pieceEvent(head: AnswerHead, { reasoning, text }: Piece): string {
  if (head.route === 'completions') return event(head, { text, finish_reason: null })
  const delta = reasoning ? { reasoning_content: text } : { content: text }
  return event(head, { delta, finish_reason: null })
}

/** The events that end a stream: the reason, the usage if asked for, `[DONE]`. */
export function endEvents(head: AnswerHead, end: Finished, includeUsage: boolean): string {
  const last = head.route === 'chat' ? { delta: {} } : { text: '' }
  const usage = { ...frame(head, 'event'), choices: [], usage: usageOf(end) }
  const usageEvent = includeUsage ? `data: ${JSON.stringify(usage)}\n\n` : ''
  return event(head, { ...last, finish_reason: end.finishReason }) + usageEvent + DONE_EVENT
}

function event(head: AnswerHead, choice: object): string {
  const body = { ...frame(head, 'event'), choices: [{ index: 0, ...choice, logprobs: null }] }
  return `data: ${JSON.stringify(body)}\n\n`
}

function frame({ route, id, created, model }: AnswerHead, part: 'whole' | 'event'): object {
  const chat = part === 'whole' ? 'chat.completion' : 'chat.completion.chunk'
  return { id, object: route === 'chat' ? chat : 'text_completion', created, model }
}

function usageOf({ promptTokens, completionTokens }: Finished): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  }
}

function textOf(pieces: readonly Piece[], reasoning: boolean): string {
  return pieces
    .filter((piece) => piece.reasoning === reasoning)
    .map(({ text }) => text)
    .join('')
}
