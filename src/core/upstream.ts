/** The name of an engine kind; `src/engines/index.ts` lists them. One that the core does not name is taken
 *  for a plain server: names mean what they say, and no request loads or evicts a model. */
export type EngineKind = string

/** What the operator wants of an upstream, whatever the evidence says (docs/decisions/0017). */
export type Intent = 'enabled' | 'draining' | 'disabled'

/** `active`: we probe. `passive`: never, live traffic is the only evidence. `off`: trusted. */
export type ProbeMode = 'active' | 'passive' | 'off'

/** May a client's request load a model that is not in memory? */
export type ColdPolicy = 'on_demand' | 'never'

/** May a plain upstream load, evict or swap the models that it lists? `auto`: it lists several and the
 *  operator chose none. */
export type SwapPolicy = 'auto' | 'yes' | 'no'

/** What ends a stream there: a finish reason for every choice, `[DONE]`, or (`auto`) what its streams
 *  have shown. */
export type StreamEnd = 'auto' | 'finish_reason' | 'done'

/**
 * One LLM server we may forward to, as the operator configured it. Plain values and no secret, so
 * it can be part of the routing table; keys live with the connections (`proxy/upstream/pools.ts`).
 */
export interface UpstreamSpec {
  /** `[a-z][a-z0-9_]*`, unique. */
  readonly name: string
  readonly engine: EngineKind
  /** Base URL without `/v1` and without a trailing slash: `http://127.0.0.1:8001`. */
  readonly url: string
  /** The model name the operator chose, as the upstream knows it; null: discovered. */
  readonly model: string | null
  readonly intent: Intent
  readonly probe: ProbeMode
  readonly cold: ColdPolicy
  readonly swaps: SwapPolicy
  readonly streamEnd: StreamEnd
  /** Requests in flight at most; null: no cap of ours. */
  readonly maxConcurrency: number | null
  /** Milliseconds between two generation probes while no client is active, at least (an engine
   *  whose model a probe would pin in memory needs more than its keep-alive). */
  readonly quietIntervalMs: number
}
