/** What is wrong with a simulated engine. The ground truth that nobody tells the gate. */
export type Fault =
  | 'none'
  /** Accepts and says nothing that counts (headers and comments at most); running streams freeze. */
  | 'silent'
  /** Running streams freeze, each new one gives one token and freezes. */
  | 'one_token'
  /** The same with two tokens: there is a gap between them. */
  | 'two_tokens'
  /** One token again, but a request for one token still succeeds: probes cannot see it. */
  | 'slow_wedge'
  /** Frozen, and refuses new requests for load. */
  | 'busy_wedge'
  | 'refused'
  /** Nobody listens any more, and what runs stands still for ever. */
  | 'gone'
  /** Nobody listens any more, and what runs goes on to its end. */
  | 'closing'
  /** Answers probes, and no client. */
  | 'live_5xx'
  /** Connects never come about. */
  | 'unreachable'
  | 'http_5xx'
  | 'error_body'
  /** Every answer ends early. */
  | 'truncating'
  /** Every connection is reset after a few tokens. */
  | 'reset'
  | 'loading'

export type JobFailure =
  | 'refused'
  | 'unreachable'
  | 'http_5xx'
  | 'error_body'
  | 'truncated'
  | 'reset'
  | 'busy'
  | 'loading'

export interface JobWish {
  readonly bytes: number
  readonly tokens: number
  readonly streamed: boolean
}

/** Who waits for the answer. */
export interface JobEars {
  token(): void
  end(): void
  fail(why: JobFailure): void
}

export interface EngineTraits {
  readonly slots: number
  /** Requests that may wait beyond the slots before it answers busy; null: any number. */
  readonly queueMax: number | null
  readonly prefillBytesPerS: number
  /** Before the first token, whatever the size, ms. */
  readonly baseMs: number
  /** Between two tokens, ms. */
  readonly itlMs: number
  /** Loads on demand, which takes so long; null: always in memory. */
  readonly loadMs: number | null
  /** Unloads after this without a request, ms. */
  readonly keepMs: number
}
