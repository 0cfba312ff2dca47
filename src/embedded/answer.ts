import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Clock } from '../runtime/clock.ts'
import type { Engine, Generated, Job, Piece, Refusal, Route } from './engine.ts'

interface Answering {
  readonly engine: Engine
  readonly clock: Clock
  readonly job: Job
}

/**
 * Generates and answers. The generation is aborted as soon as the client's connection closes.
 * Returns a refusal if nothing was written and the caller is to say why. Rejects if the engine
 * fails; then a stream that has begun must be cut, not ended.
 */
export async function answerJob(
  { engine, clock, job }: Answering,
  response: ServerResponse,
): Promise<Refusal | null> {
  const gone = new AbortController()
  const leave = (): void => gone.abort()
  response.once('close', leave)
  const head: AnswerHead = {
    route: job.route,
    id: `${job.route === 'chat' ? 'chatcmpl' : 'cmpl'}-${randomUUID()}`,
    created: Math.floor(clock.wallMs() / 1000),
    model: engine.modelId,
  }
  try {
    const end = job.stream
      ? await stream({ engine, job, head }, response, gone.signal)
      : await collect({ engine, job, head }, response, gone.signal)
    return end.kind === 'refused' ? end.refusal : null
  } finally {
    response.off('close', leave)
  }
}

interface Generating {
  readonly engine: Engine
  readonly job: Job
  readonly head: AnswerHead
}

async function collect(
  { engine, job, head }: Generating,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<Generated> {
  const pieces: Piece[] = []
  const end = await engine.generate(job, signal, (piece) => pieces.push(piece))
  if (end.kind === 'finished') {
    const text = JSON.stringify(unaryBody(head, pieces, end))
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
    })
    response.end(text)
  }
  return end
}

/** Headers and role go out with the first piece: bytes that mean something are the only ones. */
async function stream(
  { engine, job, head }: Generating,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<Generated> {
  const begin = (): string => {
    if (response.headersSent) return ''
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    })
    return roleEvent(head)
  }
  // Not held back when the client reads slowly: an answer is bounded by the context, some 100 kB.
  const end = await engine.generate(job, signal, (piece) => {
    response.write(begin() + pieceEvent(head, piece))
  })
  if (end.kind === 'finished') response.end(begin() + endEvents(head, end, job.includeUsage))
  return end
}

/** What every object of one answer carries. */
interface AnswerHead {
  readonly route: Route
  readonly id: string
  /** Seconds since 1970. */
  readonly created: number
  readonly model: string
}

type Finished = Extract<Generated, { kind: 'finished' }>

/** Ends a stream that ended properly; never sent after an error. */
const DONE_EVENT = 'data: [DONE]\n\n'

/** The whole answer of a request that did not stream. */
function unaryBody(head: AnswerHead, pieces: readonly Piece[], end: Finished): object {
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
function roleEvent(head: AnswerHead): string {
  if (head.route === 'completions') return ''
  return event(head, { delta: { role: 'assistant', content: '' }, finish_reason: null })
}

/** One piece of generated text. */
function pieceEvent(head: AnswerHead, { reasoning, text }: Piece): string {
  if (head.route === 'completions') return event(head, { text, finish_reason: null })
  const delta = reasoning ? { reasoning_content: text } : { content: text }
  return event(head, { delta, finish_reason: null })
}

/** The events that end a stream: the reason, the usage if asked for, `[DONE]`. */
function endEvents(head: AnswerHead, end: Finished, includeUsage: boolean): string {
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
