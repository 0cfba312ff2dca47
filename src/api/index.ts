import type { Work } from '../core/model/model-choice.ts'
import type { ErrorWords } from '../errors/body.ts'
import type { AnswerApi, Api, Probe, Route } from './api.ts'
import { chat } from './chat.ts'
import { completions } from './completions.ts'
import { embeddings } from './embeddings.ts'
import { json } from './json.ts'
import { media } from './media.ts'
import { messages } from './messages.ts'
import { realtime } from './realtime.ts'
import { responses } from './responses.ts'

/** Every API that the gate knows. */
const APIS = [chat, completions, embeddings, responses, messages, json, media, realtime] as const

type Known = (typeof APIS)[number]

/** Routes that not every engine has, by what they do. */
export type RouteName = Known['routes'][number]['name']

/** Routes that a probe can ask for. */
export type ProbeKind = Extract<Known, { readonly probe: Probe }>['routes'][number]['name']

interface RouteEntry extends Route {
  readonly api: Api
  readonly name: RouteName
}

const ROUTES: readonly RouteEntry[] = APIS.flatMap((api: Known) =>
  api.routes.map((route) => ({ ...route, api })),
)
const BY_NAME: ReadonlyMap<string, RouteEntry> = new Map(ROUTES.map((route) => [route.name, route]))

/** The name of every route. */
export const ROUTE_NAMES: readonly RouteName[] = ROUTES.map(({ name }) => name)

/** The kind of work that a route asks for; null: none, or nobody knows. Pure. */
export function workOf(route: RouteName | null): Work | null {
  return route === null ? null : (BY_NAME.get(route)?.work ?? null)
}

/** The API of a probe: how it asks, where, and how its answers read. Pure. */
export function probeApi(kind: ProbeKind): {
  readonly path: string
  readonly probe: Probe
  readonly answers: AnswerApi
  readonly work: Work | null
} {
  const route = BY_NAME.get(kind)
  const { probe, answers } = route?.api ?? {}
  const path = route?.paths[0]
  if (route === undefined || path === undefined || !probe || !answers) {
    throw new Error(`No probe asks for ${kind}`)
  }
  return { path, probe, answers, work: route.work }
}

/** How one route is forwarded, as data (docs/decisions/0021). */
export interface Lane {
  /** Null: any method and path that no other row names. */
  readonly path: string | null
  /** Which engines have it; null: any may. */
  readonly route: RouteName | null
  /** What is content, an error and a proper end there; null: nobody judges it. */
  readonly api: AnswerApi | null
  /** As for `Api`. `streamed`: it goes on as it comes. */
  readonly body: 'buffered' | 'streamed' | 'by_type'
  /** May the request be sent to a second upstream? */
  readonly replay: boolean
}

/** The `POST`s that name a model. */
export const LANES: readonly Lane[] = ROUTES.flatMap(({ api, name, paths }) => {
  const { body, answers = null, replay } = api
  if (body === 'upgraded') return []
  return paths.map((path) => ({ path, route: name, api: answers, body, replay }))
})

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
  const below = path.startsWith('/v1/') && path !== '/v1/'
  return below && method !== 'OPTIONS' ? PASSTHROUGH : null
}

/** The one path whose connection may become a WebSocket. */
export const REALTIME_PATH = realtime.routes[0].paths[0]

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

/** What `Allow` says of a canonical path, whether its route exists or not. */
export function allowOf(path: string): string {
  return POSTED.has(path) ? 'POST, OPTIONS' : METHODS
}
const POSTED: ReadonlySet<string> = new Set(
  ROUTES.flatMap(({ api, anyMethod, paths }) =>
    api.body === 'upgraded' || anyMethod ? [] : paths,
  ),
)

/** Is this method one of those that `allowOf` lists? */
export function isMethodAllowed(method: string, path: string): boolean {
  return method === 'POST' || allowOf(path).split(', ').includes(method)
}

/** How the clients of a path, or of what lies below it, read the gate's own errors; undefined: as
 *  OpenAI's do. Pure. */
export function errorWordsOf(path: string): ErrorWords | undefined {
  return WORDED.find(([base]) => path === base || path.startsWith(`${base}/`))?.[1]
}
const WORDED: readonly (readonly [path: string, words: ErrorWords])[] = ROUTES.flatMap(
  ({ api, paths }) => {
    const words = api.answers?.errors.words
    return words === undefined ? [] : paths.map((path) => [path, words] as const)
  },
)
