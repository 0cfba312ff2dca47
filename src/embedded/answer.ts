import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Clock } from '../runtime/clock.ts'
import type { Engine, Generated, Job, Piece } from './engine.ts'

interface Answering {
  readonly engine: Engine
  readonly clock: Clock
  readonly job: Job
}

/**
 * Generates and answers. The generation is aborted as soon as the client's connection closes.
 * Rejects with a `Refusal` if nothing was written and the caller is to say why, else if the engine
 * fails; then a stream that has begun must be cut, not ended.
 */
export async function answerJob(
  { engine, clock, job }: Answering,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController()
  const leave = (): void => gone.abort()
  response.once('close', leave)
  const head: AnswerHead = {
    route: job.route,
    id: `${job.route === 'chat' ? 'chatcmpl' : 'cmpl'}-${randomUUID()}`,
    created: Math.floor(clock.wallMs() / 1000),
    model: engine.modelId,
  }
  const generate = (onPiece: (piece: Piece) => void): Promise<Generated | null> =>
    engine.generate(job, gone.signal, onPiece)
  try {
    if (job.stream) return await stream(generate, head, { response, job })
    const pieces: Piece[] = []
    const end = await generate((piece) => pieces.push(piece))
    if (end !== null) sendJson(response, 200, unaryBody(head, pieces, end))
  } finally {
    response.off('close', leave)
  }
}

/** Answers with a whole document. */
export function sendJson(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  })
  response.end(text)
}

/** Headers and role go out with the first piece: bytes that mean something are the only ones. */
async function stream(
  generate: (onPiece: (piece: Piece) => void) => Promise<Generated | null>,
  head: AnswerHead,
  { response, job }: { readonly response: ServerResponse; readonly job: Job },
): Promise<void> {
  const begin = (): string => {
    if (response.headersSent) return ''
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    })
    // A stream of completions has no such event.
    return head.route === 'chat' ? event(head, { delta: { role: 'assistant', content: '' } }) : ''
  }
  // Not held back when the client reads slowly: an answer is bounded by the context, some 100 kB.
  const end = await generate((piece) => {
    response.write(begin() + event(head, partOf(head, piece)))
  })
  if (end === null) return
  const usage = { ...frame(head, 'event'), choices: [], usage: usageOf(end) }
  const last = head.route === 'chat' ? { delta: {} } : { text: '' }
  response.write(begin() + event(head, last, end.finishReason))
  // Never sent after an error.
  response.end(`${job.includeUsage ? dataOf(usage) : ''}data: [DONE]\n\n`)
}

/** What every object of one answer carries. */
interface AnswerHead extends Pick<Job, 'route'> {
  readonly id: string
  /** Seconds since 1970. */
  readonly created: number
  readonly model: string
}

/** The whole answer of a request that did not stream. */
function unaryBody(head: AnswerHead, pieces: readonly Piece[], end: Generated): object {
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

/** One piece of generated text, as an event has it. */
function partOf({ route }: AnswerHead, { reasoning, text }: Piece): object {
  if (route === 'completions') return { text }
  return { delta: reasoning ? { reasoning_content: text } : { content: text } }
}

function event(head: AnswerHead, part: object, reason: string | null = null): string {
  const choice = { index: 0, ...part, finish_reason: reason, logprobs: null }
  return dataOf({ ...frame(head, 'event'), choices: [choice] })
}

function dataOf(document: object): string {
  return `data: ${JSON.stringify(document)}\n\n`
}

function frame({ route, id, created, model }: AnswerHead, part: 'whole' | 'event'): object {
  const chat = part === 'whole' ? 'chat.completion' : 'chat.completion.chunk'
  return { id, object: route === 'chat' ? chat : 'text_completion', created, model }
}

function usageOf({ promptTokens, completionTokens }: Generated): object {
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
