import t from 'tap'
import {
  type Evidence,
  type FlightItem,
  type ProbeOutcome,
} from '../../../src/core/health/evidence.ts'
import { type Facts, NO_FACTS } from '../../../src/core/health/facts.ts'
import { learn } from '../../../src/core/health/learn.ts'

// Goal: what each piece of evidence teaches, and what it must not.
// Method: a row for each: the facts before, the evidence, what must be so after it.

const at = 10_000
const failure = { reason: 'http_5xx', at: 1 } as const
const refused = { reason: 'refused', at: 1 } as const
const load = { since: 0, at: 9_999, endedAt: null }
const process = (phase: 'starting' | 'running' | 'asleep') => ({ phase, at: 5, heard: null })
const item: FlightItem = { sentAt: 3, bytes: 200, streamed: true, contentAt: null, maxTokens: null }

const probe = (outcome: ProbeOutcome, model: string | null = null): Evidence => ({
  type: 'probe_ended',
  at,
  outcome,
  model,
})
const pass = probe({ kind: 'pass', latencyMs: 70, tokens: 1, form: 'x' }, 'm')
const fails = (reason: 'loading' | 'refused' | 'http_5xx', said?: string) =>
  probe({ kind: 'fail', reason, detail: '', ...(said === undefined ? {} : { said }) })
const finished = { type: 'finished', at, streamed: false, tookMs: 800, model: 'm' } as const
const first = { type: 'first_content', at, ttftMs: 300, bytes: 200 } as const
const progress = { type: 'progress', at, gapMs: 100 } as const

const ROWS: Readonly<Record<string, [before: Partial<Facts>, Evidence, after: Partial<Facts>]>> = {
  'the first of several silent probes counts': [
    { silentFrom: 7 },
    { type: 'probe_sent', at },
    { sentAt: at, silentFrom: 7 },
  ],
  'a pass proves, and pays one of what is owed': [
    {
      sentAt: 9,
      silentFrom: 9,
      failure,
      owed: 2,
      refusals: { count: 2, at: 1 },
      loadsNothing: true,
    },
    pass,
    {
      sentAt: null,
      endedAt: at,
      silentFrom: null,
      passAt: at,
      failure: null,
      owed: 1,
      refusals: null,
      loadsNothing: false,
      latenciesMs: [70],
      probeForm: 'x',
      proven: [{ model: 'm', at }],
    },
  ],
  'a pass that stood behind a load teaches no latency': [
    { sentAt: 9, load },
    pass,
    { passAt: at, latenciesMs: [] },
  ],
  'an embedding is no proof of generation': [
    { liveFailureAt: 3, failure },
    probe({ kind: 'embeds', latencyMs: 20 }, 'm'),
    { embedsAt: at, passAt: null, failure: null, liveFailureAt: null, proven: [] },
  ],
  'a failure stands, with the words of the engine': [
    { silentFrom: 3 },
    fails('http_5xx', 'out of memory'),
    { failure: { reason: 'http_5xx', at, said: 'out of memory' }, silentFrom: null },
  ],
  'progress since it was sent vetoes a failed probe': [
    { sentAt: 3, progressAt: 4 },
    fails('http_5xx'),
    { failure: null, silentFrom: null },
  ],
  'but not a refused connection': [
    { sentAt: 3, progressAt: 4 },
    fails('refused'),
    { failure: { reason: 'refused', at } },
  ],
  'a refusal for load neither proves nor ends a silence': [
    { silentFrom: 3, failure },
    probe({ kind: 'busy', detail: '' }),
    { busyAt: at, silentFrom: 3, failure },
  ],
  'a probe without an answer ends, and its silence goes on': [
    { sentAt: 3, silentFrom: 3 },
    probe({ kind: 'timeout', limitMs: 1 }),
    { sentAt: null, endedAt: at, silentFrom: 3 },
  ],
  'a doubtful probe says nothing, not even that it was silent': [
    { silentFrom: 3, failure },
    probe({ kind: 'inconclusive', detail: '' }),
    { silentFrom: null, failure },
  ],
  'a model on disk is cold': [
    {},
    probe({ kind: 'cold' }),
    { failure: { reason: 'model_not_loaded', at }, loadsNothing: false, failuresInRow: 0 },
  ],
  'one that loads nothing for a request is cold for requests, too': [
    {},
    probe({ kind: 'cold', loadsNothing: true }),
    { failure: { reason: 'model_not_loaded', at }, loadsNothing: true, failuresInRow: 1 },
  ],
  'progress disproves a failure': [
    { failure, owed: 2, failuresInRow: 3, silentFrom: 3 },
    progress,
    { failure: null, owed: 0, failuresInRow: 0, silentFrom: null, progressAt: at },
  ],
  'but not that nobody listens': [
    { failure: refused, owed: 2 },
    progress,
    { failure: refused, owed: 2, progressAt: at },
  ],
  'nor does it end the silence of a probe that is under way': [
    { sentAt: 3, silentFrom: 3 },
    progress,
    { silentFrom: 3 },
  ],
  'an old gap fades': [{ longestGapMs: 1_000 }, progress, { longestGapMs: 995 }],
  'a longer gap is remembered': [{ longestGapMs: 50 }, progress, { longestGapMs: 100 }],
  'a gap behind a load of another model is none': [
    { load, loaded: ['m'], longestGapMs: 0 },
    progress,
    { longestGapMs: 0 },
  ],
  'an answer shows how long answers take': [{}, finished, { longestUnaryMs: 800 }],
  'a streamed one does not': [{}, { ...finished, streamed: true }, { longestUnaryMs: 0 }],
  'nor does one that waited for a load, which shows how long loads take': [
    {},
    { ...finished, cold: true },
    { longestUnaryMs: 0, coldLoadsMs: [800] },
  ],
  'who answers what was sent after a refusal listens again': [
    { failure: refused },
    finished,
    { failure: null },
  ],
  'who answers what was sent before it may be gone': [
    { failure: { ...refused, at: at - 500 } },
    finished,
    { failure: { ...refused, at: at - 500 } },
  ],
  'first content shows how long prompts take, and proves nothing': [
    { failure },
    first,
    { ttfts: [{ bytes: 200, ms: 300 }], failure, progressAt: null },
  ],
  'after a load it shows how long loads take': [
    { loadFailedAt: 3 },
    { ...first, cold: true },
    { ttfts: [], coldLoadsMs: [300], loadFailedAt: null },
  ],
  'a refused connection ejects': [
    { failuresInRow: 1 },
    { type: 'live_failure', at, failure: 'refused' },
    { failure: { reason: 'refused', at }, failuresInRow: 2, liveFailureAt: at },
  ],
  'any other live failure only asks for a probe': [
    {},
    { type: 'live_failure', at, failure: 'http_5xx' },
    { failure: null, liveFailureAt: at },
  ],
  'nothing listens while an engine starts': [
    { process: process('starting') },
    { type: 'live_failure', at, failure: 'refused' },
    { failure: null, liveFailureAt: null },
  ],
  'who is reached listens again': [
    { failure: refused, liveFailureAt: 1 },
    { type: 'reached', at },
    { failure: null, liveFailureAt: null },
  ],
  'to be reached disproves nothing else': [{ failure }, { type: 'reached', at }, { failure }],
  'refusals of our key are counted': [
    { refusals: { count: 1, at: 1 } },
    { type: 'live_refused', at },
    { refusals: { count: 2, at } },
  ],
  'a finish reason that was seen is relied on for ever': [
    { streamEnd: 'finish_reason' },
    { type: 'stream_end', at, by: 'done' },
    { streamEnd: 'finish_reason' },
  ],
  'what is in memory says that something was loaded': [
    { loadsNothing: true },
    { type: 'loaded', at, names: ['m'] },
    { loaded: ['m'], loadedAt: at, loadsNothing: false },
  ],
  'an empty memory does not': [
    { loadsNothing: true },
    { type: 'loaded', at, names: [] },
    { loadsNothing: true },
  ],
  'other work is remembered for itself': [
    {},
    { type: 'work_done', at, work: 'rerank', tookMs: 9 },
    {
      passAt: null,
      works: { ...NO_FACTS.works, rerank: { doneAt: at, failedAt: null, longestMs: 9 } },
    },
  ],
  'a process that sleeps is cold, and what the old one owed went with it': [
    { owed: 2, liveFailureAt: 3, wantedAt: 3, silentFrom: 3 },
    { type: 'process', at, phase: 'asleep' },
    {
      failure: { reason: 'model_not_loaded', at },
      owed: 0,
      liveFailureAt: null,
      wantedAt: null,
      silentFrom: null,
    },
  ],
  'one that has ended still owes': [
    { owed: 2 },
    { type: 'process', at, phase: 'exited' },
    { failure: { reason: 'refused', at }, owed: 2 },
  ],
  'until its first generation a refused connection is part of starting': [
    { process: process('starting'), sentAt: 6, failure: { reason: 'loading', at: 5 } },
    fails('refused'),
    {
      failure: { reason: 'loading', at: 5 },
      process: { ...process('starting'), heard: 'refused' },
    },
  ],
  'a probe of the process before it says nothing': [
    { process: process('starting'), sentAt: 4, failure: { reason: 'loading', at: 5 } },
    pass,
    { passAt: null, process: process('starting') },
  ],
  'a pass is the end of its start': [
    { process: process('starting'), sentAt: 6 },
    pass,
    { process: { phase: 'running', at, heard: null } },
  ],
  'streams of the old process prove nothing of the new one': [
    { process: process('starting'), failure: { reason: 'loading', at: 5 }, owed: 1 },
    progress,
    { failure: { reason: 'loading', at: 5 }, owed: 1 },
  ],
  'a load lasts for as long as requests wait for it': [
    { load, flight: { inFlight: 1, waiting: 1, newest: item, items: [{ ...item, cold: true }] } },
    {
      type: 'flight',
      at,
      flight: { inFlight: 1, waiting: 1, newest: item, items: [{ ...item, cold: true }] },
    },
    { load: { since: 0, at, endedAt: null }, used: { since: at, at } },
  ],
}

t.test('learn() folds each piece of evidence into what it proves, and no more', (t) => {
  for (const [name, [before, evidence, after]] of Object.entries(ROWS)) {
    const now = learn({ ...NO_FACTS, ...before }, evidence)
    const keys = Object.keys(after) as (keyof Facts)[]
    t.strictSame(Object.fromEntries(keys.map((key) => [key, now[key]])), after, name)
  }
  t.end()
})

/** Facts after forty of them. */
function after(of: (i: number) => Evidence): Facts {
  return Array.from({ length: 40 }, (_, i) => of(i)).reduce(learn, NO_FACTS)
}

t.test('learn() remembers the latest, and only so many', (t) => {
  const probed = after((i) => probe({ kind: 'pass', latencyMs: i, tokens: 1 }, `m${i}`))
  t.strictSame(probed.latenciesMs, [32, 33, 34, 35, 36, 37, 38, 39])
  t.equal(probed.proven.length, 16)
  t.equal(probed.proven.at(-1)?.model, 'm39')
  t.equal(after((bytes) => ({ ...first, bytes })).ttfts[0]?.bytes, 8)
  const loads = after((ttftMs) => ({ ...first, ttftMs, cold: true }))
  t.strictSame(loads.coldLoadsMs, [36, 37, 38, 39])
  t.end()
})
