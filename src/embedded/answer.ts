import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Clock } from '../runtime/clock.ts'
import type { Engine, Generated, Piece } from './engine.ts'
import type { Job } from './request.ts'
import type { Refusal } from './refusal.ts'
import { type AnswerHead, endEvents, pieceEvent, roleEvent, unaryBody } from './wire.ts'

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
