/** What the load is asked to do. Every job names the port of a contender. */
export type Job =
  | {
      readonly kind: 'unary'
      readonly port: number
      readonly connections: number
      /** Of the request and of the answer. */
      readonly bytes: number
      readonly window: Window
    }
  | {
      readonly kind: 'streams'
      readonly port: number
      readonly count: number
      /** Token events of each stream; the next stream follows on the same connection. */
      readonly events: number
      readonly window: Window
    }
  | {
      /** One connection, one request after the other; time from the request to the first byte. */
      readonly kind: 'ttfb'
      readonly port: number
      readonly stream: boolean
      readonly window: Window
    }
  /** Opens silent streams and keeps them until `release`. */
  | { readonly kind: 'open'; readonly port: number; readonly count: number }
  /** Starts to read a large stream at a kilobyte a second, until `release`. */
  | { readonly kind: 'slow'; readonly port: number; readonly bytes: number }
  | { readonly kind: 'release' }
  /** Asks and leaves after `afterMs`, before the head of the answer or in the midst of a stream. */
  | {
      readonly kind: 'leave'
      readonly port: number
      readonly when: 'before_head' | 'in_stream'
      readonly afterMs: number
    }

/** When a measurement begins and how long it takes. */
export interface Window {
  readonly warmMs: number
  readonly measuredMs: number
  /** Processes whose CPU time is taken at both ends: contender, stub. */
  readonly pids: readonly number[]
}

/** What a job came to. Fields that do not apply are 0 or empty. */
export interface JobResult {
  /** Answers, events or first bytes within the window. */
  readonly count: number
  /** Answers that were not 200, connections that broke, streams that never began. */
  readonly errors: number
  readonly wallNs: number
  /** CPU time within the window, ns, in the order of `pids`; null where it cannot be read. */
  readonly cpu: readonly (number | null)[]
  /** Of the load itself. */
  readonly ownCpuNs: number
  /** First bytes, µs, ascending. */
  readonly latenciesUs: readonly number[]
  /** When the client left, on the monotonic clock that all processes share, ns. */
  readonly leftAtNs: number
}

export const NO_RESULT: JobResult = {
  count: 0,
  errors: 0,
  wallNs: 0,
  cpu: [],
  ownCpuNs: 0,
  latenciesUs: [],
  leftAtNs: 0,
}
