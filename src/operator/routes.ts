import type { Handed } from '../core/handed.ts'
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

/** Answers one request; null: there is no such thing. Must not block. */
type Route = (handed: Handed) => Answer | null | Promise<Answer>

const TEXT = 'text/plain; charset=utf-8'
const MODEL_PREFIX = '/v1/models/'

/** THE routes of the gate's own, by canonical path; `*` stands for the rest. All are GET and HEAD. */
export function operatorRoutes(parts: OperatorParts): Record<string, Route> {
  return {
    '/livez': ({ requestId }) => plainAnswer(200, { type: TEXT, body: 'ok\n' }, requestId),
    '/readyz': ({ requestId, query }) => {
      const { status, body } = parts.readiness(readinessQuery(query))
      return plainAnswer(status, { type: TEXT, body }, requestId)
    },
    // The engine's own health check, in whose place compose files put the gate, has no body.
    '/health': ({ requestId, query }) => {
      const { status } = parts.readiness(readinessQuery(query))
      return plainAnswer(status, { type: TEXT, body: '' }, requestId)
    },
    '/metrics': async ({ requestId }) => {
      const { contentType: type, text } = parts.metrics
      return plainAnswer(200, { type, body: await text() }, requestId)
    },
    '/gate/status': ({ requestId }) => {
      const body = `${JSON.stringify(parts.status(), null, 2)}\n`
      return plainAnswer(200, { type: 'application/json', body }, requestId)
    },
    '/v1/models': ({ requestId }) => parts.models(requestId),
    [`${MODEL_PREFIX}*`]: ({ requestId, path }) => {
      const id = decoded(path.slice(MODEL_PREFIX.length))
      if (id === null) return errorAnswer('bad_path', { requestId })
      return id === '' ? null : parts.model(id, requestId)
    },
    '/': ({ requestId }) => {
      const body = `gengate ${parts.version}: an OpenAI-compatible gate. The base URL for clients is this address with /v1. See /gate/status and /readyz?verbose.\n`
      return plainAnswer(200, { type: TEXT, body }, requestId)
    },
  }
}

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
