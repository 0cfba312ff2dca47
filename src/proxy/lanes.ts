import type { AnswerApi } from '../core/answer.ts'

/** How one route is forwarded, as data (design D7). */
export interface Lane {
  readonly method: 'POST'
  readonly path: string
  /** Which tables say what is content, an error and a proper end. */
  readonly api: AnswerApi
  /** The body is read whole before anything is sent. */
  readonly body: 'buffered'
  /** The request may be sent to a second upstream. */
  readonly replay: true
}

/** THE table of lanes. */
export const LANES: readonly Lane[] = [
  generation('/v1/chat/completions', 'chat'),
  generation('/v1/completions', 'completions'),
  generation('/v1/embeddings', 'embeddings'),
]

/** The lane of a request by its canonical path; null: it is not forwarded. */
export function laneOf(method: string, path: string): Lane | null {
  return LANES.find((lane) => lane.path === path && lane.method === method) ?? null
}

/** The methods that some lane serves on this canonical path; empty: none does. */
export function methodsOf(path: string): readonly string[] {
  return LANES.filter((lane) => lane.path === path).map((lane) => lane.method)
}

/** Methods that have a meaning on some route; the others are refused everywhere. */
const METHODS = 'GET, HEAD, POST, PATCH, DELETE, OPTIONS'

/** What `Allow` says of a canonical path, whether its route exists or not. */
export function allowOf(path: string): string {
  const methods = methodsOf(path)
  return methods.length === 0 ? METHODS : [...methods, 'OPTIONS'].join(', ')
}

/** A replayable JSON `POST`. */
function generation(path: string, api: AnswerApi): Lane {
  return { method: 'POST', path, api, body: 'buffered', replay: true }
}
