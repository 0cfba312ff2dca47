import type { ProbeKind, RouteName } from '../api/index.ts'
import { namesLoading, namesUnknownModel } from '../api/answer.ts'
import type { ListedModel } from '../core/model/model-choice.ts'
import type { EngineKind } from '../core/upstream.ts'

/** A GET without side effects. */
export interface Query<T> {
  /** Below the base URL: `/api/ps`. */
  readonly path: string
  /** What its answer tells, of its JSON, or of its text where it is not JSON; null: nothing. Pure. */
  readonly read: (body: unknown) => T | null
}

/** Shows what an engine is at, whoever asked for it. */
export interface WorkQuery extends Query<Work> {
  /** Look before a probe is sent, since the engine runs what its client has given up? Else only
   *  while a probe is silent. */
  readonly before: boolean
}

/** What an engine says about its work. That it says anything is not a sign of life. */
export interface Work {
  /** Would a probe be worked on at once? */
  readonly room: boolean
  /** Tokens by what they belong to. One that has begun and grows is progress. */
  readonly made: ReadonlyMap<string, number>
}

/** Did anything that had begun grow? What is new since proves nothing: an engine may give each
 *  stream one token and freeze (docs/decisions/0012). Pure. */
export function hasGrown(before: Work, now: Work): boolean {
  return [...now.made].some(([key, tokens]) => {
    const was = before.made.get(key) ?? 0
    return was > 0 && tokens > was
  })
}

/**
 * What one engine kind does differently, as data. Facts are cited in the engine's own file.
 */
export interface Quirks {
  readonly kind: EngineKind
  /** What it writes as `owned_by` into `/v1/models`, where that is its own word; absent: it is not. */
  readonly ownedBy?: string
  /** Port on 127.0.0.1 when no URL is given; null: a URL is needed. */
  readonly defaultPort: number | null
  /** Probe kinds worth trying, first one first. */
  readonly probes: readonly ProbeKind[]
  /** The routes that it has; a request for another one is not sent there. */
  readonly routes: readonly RouteName[]
  /** How to ask for the names of what is in memory; null: there is no way to ask. */
  readonly loadedQuery: Query<readonly string[]> | null
  /** Where it says more of its models than in `/v1/models`: the first one that answers tells. */
  readonly details: readonly Query<readonly ListedModel[]>[]
  /** How to see what it is at; null: there is no way to see. */
  readonly work: WorkQuery | null
  /** How to ask whether it sleeps, where it can: a GET that wakes nothing. */
  readonly sleep?: Query<boolean>
  /** May a probe leave `model` out when none is known? */
  readonly modelOptional: boolean
  /** Does `GET /v1/models` list models that are not in memory? Then none is chosen from many. */
  readonly listsUnloaded: boolean
  /** Milliseconds between generation probes while nobody is active, at least: engines whose
   *  keep-alive a probe would extend need more than that keep-alive. */
  readonly quietIntervalMs: number
  /** Models that no probe may ask for, whatever is configured: they cost money or leave the
   *  machine. Pure. */
  readonly neverProbe: (model: string) => boolean
  /** Is this 5xx or 4xx body the engine's way to say that it is still loading? Pure. */
  readonly isLoading: (status: number, body: unknown) => boolean
  /** Is this the engine's way to say that it does not know the model? Pure. */
  readonly isUnknownModel: (status: number, body: unknown) => boolean
  /** Is this 4xx the engine's way to say that the generation itself failed? Pure. */
  readonly isFailure: (status: number, body: unknown) => boolean
}

/** A server of the plainest kind: what most of them do. An engine's file says what it does otherwise. */
export const PLAIN: Omit<Quirks, 'kind' | 'defaultPort' | 'routes'> = {
  // A base model without a chat template answers 400 to chat, an embedding model 400 or 404.
  probes: ['chat', 'completions', 'embeddings'],
  loadedQuery: null,
  details: [],
  work: null,
  modelOptional: false,
  listsUnloaded: false,
  quietIntervalMs: 0,
  neverProbe: () => false,
  isLoading: (status, body) => status === 503 && namesLoading(body),
  isUnknownModel: (status, body) => (status === 400 || status === 404) && namesUnknownModel(body),
  isFailure: () => false,
}
