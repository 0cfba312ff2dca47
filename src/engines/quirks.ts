import type { EngineKind } from '../core/upstream.ts'

/** The kinds of generation a probe can ask for, in the order they are tried. */
export type ProbeKind = 'chat' | 'completions' | 'embeddings'

/** A GET or POST without side effects that tells which models are in memory. */
export interface LoadedQuery {
  readonly path: string
  /** Names in memory, from the parsed answer; null: it does not tell. Pure. */
  readonly loaded: (body: unknown) => readonly string[] | null
}

/**
 * What one engine kind does differently, as data. Facts are cited in the engine's own file.
 */
export interface Quirks {
  readonly kind: EngineKind
  /** Port on 127.0.0.1 when no URL is given; null: a URL is needed. */
  readonly defaultPort: number | null
  /** Probe kinds worth trying, first one first. */
  readonly probes: readonly ProbeKind[]
  /** How to ask what is in memory; null: whatever it lists is in memory. */
  readonly loadedQuery: LoadedQuery | null
  /** May a probe leave `model` out when none is known? Else the first listed is used. */
  readonly modelOptional: boolean
  /** Does `GET /v1/models` list models that are not in memory? Then none is chosen from many. */
  readonly listsUnloaded: boolean
  /** Milliseconds between generation probes while nobody is active, at least: engines whose
   *  keep-alive a probe would extend need more than that keep-alive. */
  readonly quietIntervalMs: number
  /** Is this 5xx or 4xx body the engine's way to say that it is still loading? Pure. */
  readonly isLoading: (status: number, body: unknown) => boolean
  /** Is this the engine's way to say that it does not know the model? Pure. */
  readonly isUnknownModel: (status: number, body: unknown) => boolean
}
