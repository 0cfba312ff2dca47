import { type Answer, errorAnswer, plainAnswer } from '../errors/answer.ts'

/** What the gate itself answers, as functions that the composition root injects. */
export interface OperatorParts {
  readonly version: string
  readonly metrics: { readonly contentType: string; readonly text: () => Promise<string> }
  /** The document of `GET /gate/status`. */
  readonly status: () => unknown
  readonly readiness: (query: { readonly model: string | null; readonly verbose: boolean }) => {
    readonly status: number
    readonly body: string
  }
  readonly models: (requestId: string) => Answer
  /** `id` decoded, slashes and all. */
  readonly model: (id: string, requestId: string) => Answer
}

/** One request to a route of the gate's own. */
export interface Ask {
  readonly requestId: string
  /** Canonical. */
  readonly path: string
  /** With its question mark, or ''. */
  readonly query: string
}

/** Answers one request. Must not block. */
export type Route = (ask: Ask, parts: OperatorParts) => Answer | Promise<Answer>

const TEXT = 'text/plain; charset=utf-8'
const MODEL_PREFIX = '/v1/models/'

/** THE routes of the gate's own, by path as Fastify's router writes it. All are GET and HEAD. */
export const ROUTES: Readonly<Record<string, Route>> = {
  '/livez': ({ requestId }) => plainAnswer(200, { type: TEXT, body: 'ok\n' }, requestId),
  '/readyz': (ask, parts) => {
    const { status, body } = parts.readiness(readinessQuery(ask.query))
    return plainAnswer(status, { type: TEXT, body }, ask.requestId)
  },
  // The engine's own health check, in whose place compose files put the gate, has no body.
  '/health': (ask, parts) => {
    const { status } = parts.readiness(readinessQuery(ask.query))
    return plainAnswer(status, { type: TEXT, body: '' }, ask.requestId)
  },
  '/metrics': async (ask, { metrics }) => {
    const body = await metrics.text()
    return plainAnswer(200, { type: metrics.contentType, body }, ask.requestId)
  },
  '/gate/status': (ask, parts) => {
    const body = `${JSON.stringify(parts.status(), null, 2)}\n`
    return plainAnswer(200, { type: 'application/json', body }, ask.requestId)
  },
  '/v1/models': (ask, parts) => parts.models(ask.requestId),
  '/v1/models/*': (ask, parts) => {
    const id = decoded(ask.path.slice(MODEL_PREFIX.length))
    if (id === null) return errorAnswer('bad_path', { requestId: ask.requestId })
    return id === '' ? lost(ask) : parts.model(id, ask.requestId)
  },
  '/': (ask, parts) => {
    const body = `gengate ${parts.version}: an OpenAI-compatible gate. The base URL for clients is this address with /v1. See /gate/status and /readyz?verbose.\n`
    return plainAnswer(200, { type: TEXT, body }, ask.requestId)
  },
}

/** One helpful line for people who guessed wrong; in Ollama's error shape where an Ollama client
 *  asks, since it prints `[object Object]` for any other. Pure. */
export function lost({ requestId, path }: Ask): Answer {
  if (path !== '/api' && !path.startsWith('/api/'))
    return errorAnswer('not_found', { requestId, detail: WHERE })
  const error = `gengate speaks the OpenAI API under /v1, not Ollama's. ${WHERE}`
  const body = `${JSON.stringify({ error })}\n`
  return { ...plainAnswer(404, { type: 'application/json', body }, requestId), code: 'not_found' }
}

const WHERE = 'Use a base URL that ends in /v1; GET /gate/status shows what is served.'

function readinessQuery(query: string): { model: string | null; verbose: boolean } {
  const params = new URLSearchParams(query)
  const verbose = params.get('verbose')
  return {
    model: params.get('model'),
    verbose: verbose !== null && verbose !== '0' && verbose !== 'false',
  }
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
