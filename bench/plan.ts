/** The measures, in the order of the table. */
export const MEASURES = [
  'unary-1k',
  'unary-100k',
  'sse',
  'ttfb-unary',
  'ttfb-sse',
  'open-cost',
  'rss',
  'slow-reader',
  'abort',
] as const
export type Measure = (typeof MEASURES)[number]

/** How long and how often is measured. */
export interface Plan {
  /** Under load, once, before anything counts: compilers need 6 to 8 s on one core. */
  readonly firstWarmMs: number
  /** Under load, before each window. */
  readonly warmMs: number
  readonly windowMs: number
  /** Before a window of one connection, which follows upon the others at once. */
  readonly shortWarmMs: number
  readonly rounds: Readonly<Record<Measure, number>>
  /** Connections of the unary measures. */
  readonly connections: number
  /** Streams of the event measure; each brings 20 events a second. */
  readonly streams: number
  readonly eventsPerStream: number
  /** Silent streams for the memory measure, and for what a request costs beside them. */
  readonly idleStreams: number
  readonly openStreams: number
  readonly floodBytes: number
  readonly slowMs: number
  /** An upstream connection that is still open after this counts as not aborted. */
  readonly abortMsMax: number
}

/** Less than eight minutes with four contenders. */
export const FULL: Plan = {
  firstWarmMs: 6_000,
  warmMs: 2_000,
  shortWarmMs: 400,
  windowMs: 1_500,
  rounds: {
    'unary-1k': 5,
    'unary-100k': 3,
    sse: 5,
    'ttfb-unary': 3,
    'ttfb-sse': 3,
    'open-cost': 2,
    rss: 1,
    'slow-reader': 1,
    abort: 5,
  },
  connections: 50,
  streams: 500,
  eventsPerStream: 250,
  idleStreams: 2_000,
  openStreams: 4_000,
  floodBytes: 100_000_000,
  slowMs: 6_000,
  abortMsMax: 1_000,
}

/** Does it run at all? Its numbers mean nothing. */
export const QUICK: Plan = {
  firstWarmMs: 500,
  warmMs: 200,
  shortWarmMs: 100,
  windowMs: 300,
  rounds: {
    'unary-1k': 1,
    'unary-100k': 1,
    sse: 1,
    'ttfb-unary': 1,
    'ttfb-sse': 1,
    'open-cost': 1,
    rss: 1,
    'slow-reader': 1,
    abort: 1,
  },
  connections: 20,
  streams: 200,
  eventsPerStream: 50,
  idleStreams: 200,
  openStreams: 300,
  floodBytes: 20_000_000,
  slowMs: 1_500,
  abortMsMax: 500,
}
