import type { AnswerApi } from './answer.ts'
import type { RouteName } from './route-name.ts'

/** How one route is forwarded, as data (docs/decisions/0021). */
export interface Lane {
  /** Null: any method and path that no other row names. */
  readonly path: string | null
  /** Which engines have it; null: any may. */
  readonly route: RouteName | null
  /** Which tables say what is content, an error and a proper end; null: nobody judges it. */
  readonly api: AnswerApi | null
  /** `buffered`: read whole before anything is sent, so that it can be sent again. `by_type`: JSON is
   *  read whole, a form up to its model, and anything else goes on as it comes. */
  readonly body: 'buffered' | 'streamed' | 'by_type'
  /** May the request be sent to a second upstream? */
  readonly replay: boolean
}

/** THE table of lanes: the `POST`s that name a model. The paths are those of vLLM, llama.cpp and SGLang. */
export const LANES: readonly Lane[] = [
  generation('/v1/chat/completions', 'chat', 'chat'),
  generation('/v1/completions', 'completions', 'completions'),
  generation('/v1/embeddings', 'embeddings', 'embeddings'),
  generation('/v1/responses', 'responses', 'responses'),
  generation('/v1/messages', 'messages', 'messages'),
  generation('/v1/messages/count_tokens', 'count_tokens', 'json'),
  generation('/v1/rerank', 'rerank', 'json'),
  generation('/v2/rerank', 'rerank', 'json'),
  generation('/rerank', 'rerank', 'json'),
  generation('/v1/score', 'score', 'json'),
  generation('/score', 'score', 'json'),
  generation('/classify', 'classify', 'json'),
  generation('/pooling', 'pooling', 'json'),
  generation('/tokenize', 'tokenize', 'json'),
  generation('/detokenize', 'detokenize', 'json'),
  media('/v1/images/generations', 'images'),
  media('/v1/images/edits', 'images'),
  media('/v1/images/variations', 'images'),
  media('/v1/audio/speech', 'speech'),
  media('/v1/audio/transcriptions', 'transcriptions'),
  media('/v1/audio/translations', 'transcriptions'),
  media('/v1/moderations', 'moderations'),
  media('/v1/videos', 'videos'),
]

/** Everything else under `/v1`: uploads, stateful and unknown routes. One upstream, as it comes. */
export const PASSTHROUGH: Lane = {
  path: null,
  route: null,
  api: null,
  body: 'streamed',
  replay: false,
}

const BY_PATH: ReadonlyMap<string | null, Lane> = new Map(LANES.map((lane) => [lane.path, lane]))

/** The lane of a request by its canonical path; null: it is not forwarded. */
export function laneOf(method: string, path: string): Lane | null {
  const lane = method === 'POST' ? BY_PATH.get(path) : undefined
  if (lane !== undefined) return lane
  return method !== 'OPTIONS' && path.startsWith('/v1/') ? PASSTHROUGH : null
}

/** Paths outside `/v1` that some lane serves. */
export function pathsOutside(): string[] {
  return LANES.flatMap(({ path }) => (path === null || path.startsWith('/v1/') ? [] : [path]))
}

/** The one path whose connection may become a WebSocket. */
export const REALTIME_PATH = '/v1/realtime'

/** Routes that the gate answers itself or upgrades, as far as they are known by one path. */
const OWN: ReadonlySet<string> = new Set([
  '/livez',
  '/readyz',
  '/health',
  '/metrics',
  '/gate/status',
  '/v1/models',
  REALTIME_PATH,
])

/** The canonical path without a slash after it, where that names a route; else as it is: unknown
 *  routes are the upstream's to read. Pure. */
export function knownPath(path: string): string {
  if (!path.endsWith('/')) return path
  const route = path.slice(0, -1)
  return BY_PATH.has(route) || OWN.has(route) ? route : path
}

/** Methods that have a meaning on some route; the others are refused everywhere. */
const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'

/** What `Allow` says of a canonical path, whether its route exists or not. A GET lists the videos. */
export function allowOf(path: string): string {
  return BY_PATH.has(path) && path !== '/v1/videos' ? 'POST, OPTIONS' : METHODS
}

/** Is this method one of those that `allowOf` lists? */
export function isMethodAllowed(method: string, path: string): boolean {
  return method === 'POST' || allowOf(path).split(', ').includes(method)
}

/** A `POST` that names a model, whose answer nobody judges: pictures, sound. */
function media(path: string, route: RouteName): Lane {
  return { path, route, api: null, body: 'by_type', replay: false }
}

/** A replayable JSON `POST`. */
function generation(path: string, route: RouteName, api: AnswerApi): Lane {
  return { path, route, api, body: 'buffered', replay: true }
}
