import type { Handed } from '../core/exchange/exchange.ts'
import type { RoutingTable } from '../core/table.ts'
import { type Answer, errorAnswer, plainAnswer } from '../errors/answer.ts'
import { modelAnswer, modelsAnswer, type ModelsContext } from './models.ts'
import { type Readiness, readinessOf } from './readiness.ts'
import { type StatusContext, statusOf } from './status.ts'

/** What the gate's own routes tell of. */
export interface OperatorParts {
  readonly metrics: { readonly contentType: string; readonly text: () => Promise<string> }
  readonly table: () => RoutingTable
  /** What is true at this moment and stands in no table. */
  readonly now: () => StatusContext
  /** Start of this process on the wall clock, ms. */
  readonly startedWallMs: number
}

/** Answers one request; null: there is no such thing. Must not block. */
type Route = (handed: Handed) => Answer | null | Promise<Answer>

const TEXT = 'text/plain; charset=utf-8'
const MODEL_PREFIX = '/v1/models/'

/** THE routes of the gate's own, by canonical path; `*` stands for the rest. All are GET and HEAD. */
export function operatorRoutes(parts: OperatorParts): Record<string, Route> {
  const { metrics, table, now } = parts
  const readiness = (query: string): Readiness => {
    const params = new URLSearchParams(query)
    const verbose = !['0', 'false', null].includes(params.get('verbose'))
    return readinessOf(table(), { model: params.get('model'), verbose }, now())
  }
  const models = (requestId: string): ModelsContext => {
    return { requestId, nowMs: now().nowMs, startedWallMs: parts.startedWallMs }
  }
  return {
    '/livez': ({ requestId }) => plainAnswer(200, { type: TEXT, body: 'ok\n' }, requestId),
    '/readyz': ({ requestId, query }) => {
      const { status, body } = readiness(query)
      return plainAnswer(status, { type: TEXT, body }, requestId)
    },
    // The engine's own health check, in whose place compose files put the gate, has no body.
    '/health': ({ requestId, query }) =>
      plainAnswer(readiness(query).status, { type: TEXT, body: '' }, requestId),
    '/metrics': async ({ requestId }) => {
      const body = await metrics.text()
      return plainAnswer(200, { type: metrics.contentType, body }, requestId)
    },
    '/gate/status': ({ requestId }) => {
      const body = `${JSON.stringify(statusOf(table(), now()), null, 2)}\n`
      return plainAnswer(200, { type: 'application/json', body }, requestId)
    },
    '/v1/models': ({ requestId }) => modelsAnswer(table(), models(requestId)),
    [`${MODEL_PREFIX}*`]: ({ requestId, path }) => {
      const id = decoded(path.slice(MODEL_PREFIX.length))
      if (id === null) return errorAnswer('bad_path', { requestId })
      return id === '' ? null : modelAnswer(table(), id, models(requestId))
    },
    '/': ({ requestId }) => {
      const body = `gengate ${now().version}: an OpenAI-compatible gate. The base URL for clients is this address with /v1. See /gate/status and /readyz?verbose.\n`
      return plainAnswer(200, { type: TEXT, body }, requestId)
    },
  }
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
