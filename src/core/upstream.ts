/** The name of an engine kind; `src/engines/index.ts` lists them. One that the core does not name is taken
 *  for a plain server: names mean what they say, and no request loads or evicts a model. */
export type EngineKind = string

interface IntentRow {
  /** What everybody shows of it, whatever the evidence says; null: what the evidence says. */
  readonly state: 'draining' | 'disabled' | null
  /** Is it probed, so that it is known how it stands when it is enabled again? */
  readonly probed: boolean
  /** What becomes of its engine, where the gate owns it. */
  readonly engine: 'run' | 'leave' | 'stop'
  /** What it does, for docs/configuration.md. */
  readonly doc: string
}

/**
 * THE table of intents: what the operator may want of an upstream, whatever the evidence says
 * (docs/decisions/0017). The values of `GENGATE_<NAME>_ADMIN`, their reasons and the docs follow from it.
 */
export const INTENTS = {
  enabled: { state: null, probed: true, engine: 'run', doc: '`enabled`' },
  draining: {
    state: 'draining',
    probed: true,
    engine: 'leave',
    doc: '`draining`: no new requests, running ones finish',
  },
  disabled: {
    state: 'disabled',
    probed: false,
    engine: 'stop',
    doc: '`disabled`: not used and not probed',
  },
} as const satisfies Record<string, IntentRow>

export type Intent = keyof typeof INTENTS
export const INTENT_NAMES: readonly Intent[] = Object.keys(INTENTS).filter((name): name is Intent =>
  Object.hasOwn(INTENTS, name),
)

/** `active`: we probe. `passive`: never, live traffic is the only evidence. `off`: trusted. */
export const PROBE_MODES = ['active', 'passive', 'off'] as const
export type ProbeMode = (typeof PROBE_MODES)[number]

/** May a client's request load a model that is not in memory? */
export const COLD_POLICIES = ['on_demand', 'never'] as const
export type ColdPolicy = (typeof COLD_POLICIES)[number]

/** May a plain upstream load, evict or swap the models that it lists? `auto`: it lists several and the
 *  operator chose none. */
export const SWAP_POLICIES = ['auto', 'yes', 'no'] as const
export type SwapPolicy = (typeof SWAP_POLICIES)[number]

/** What ends a stream there: a finish reason for every choice, `[DONE]`, or (`auto`) what its streams
 *  have shown. */
export const STREAM_ENDS = ['auto', 'finish_reason', 'done'] as const
export type StreamEnd = (typeof STREAM_ENDS)[number]

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

/** One for which nothing is set. */
export const PLAIN_SPEC = {
  model: null,
  intent: 'enabled',
  probe: 'active',
  cold: 'on_demand',
  swaps: 'auto',
  streamEnd: 'auto',
  maxConcurrency: null,
  quietIntervalMs: 0,
} as const satisfies Omit<UpstreamSpec, 'name' | 'engine' | 'url'>
