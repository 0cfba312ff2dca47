import t from 'tap'
import type { AnswerWriter } from '../../../src/proxy/answer/answer-writer.ts'
import { Leases } from '../../../src/proxy/leases.ts'
import { ClientSink, type SinkInput } from '../../../src/proxy/answer/sink.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'

// Goal: which tokens count as progress: those of a stream that delivers, never the first of one.

function setup(cold = false) {
  const clock = new VirtualClock()
  const told: { type: string; at: number }[] = []
  const events: string[] = []
  const leases = new Leases()
  const lease = leases.take('a', 1, {
    sentAt: 0,
    bytes: 9,
    streamed: true,
    contentAt: null,
    maxTokens: null,
    cold,
  })
  const deps = {
    clock,
    emit: (event: { type: string }) => events.push(event.type),
    store: {
      apply: (event: { evidence: { type: string; at: number } }) => told.push(event.evidence),
    },
  }
  const sink = new ClientSink({
    deps: deps as unknown as SinkInput['deps'],
    lease,
    writer: {} as AnswerWriter,
    headFor: () => ({}),
    onCommit: () => {},
    onFirstContent: () => events.push('commit'),
  })
  return { clock, told, events, sink, lease }
}

t.test('content() reports the first content, which is no progress', async (t) => {
  const { clock, told, events, sink, lease } = setup()
  await clock.advance(30)
  sink.content(1)
  t.match(told, [{ type: 'first_content', at: 30, ttftMs: 30, bytes: 9 }])
  t.strictSame(events, ['commit'])
  t.equal(lease.item.contentAt, 30)
})

t.test('content() does not take a token or two of a new stream for progress', async (t) => {
  const { clock, told, sink } = setup()
  for (let i = 0; i < 3; i++) {
    sink.content(1)
    await clock.advance(120)
  }
  t.equal(told.filter(({ type }) => type === 'progress').length, 0)
})

t.test(
  'content() counts an established stream, at most every 100 ms, with its longest gap',
  async (t) => {
    const { clock, told, events, sink } = setup()
    for (let i = 0; i < 100; i++) {
      sink.content(1)
      await clock.advance(i === 50 ? 60 : 20)
    }
    const progress = told.filter(({ type }) => type === 'progress')
    t.ok(progress.length >= 15 && progress.length <= 21, `${progress.length} reports in 2 s`)
    const gaps = progress.map((one) => ('gapMs' in one ? one.gapMs : 0))
    t.equal(Math.max(...gaps.map(Number)), 60, 'each report tells the longest since the last')
    t.equal(gaps.at(-1), 20)
    t.equal(events.filter((event) => event === 'gap').length, 99)
  },
)

t.test('content() counts a slow stream once it has delivered for a while', async (t) => {
  const { clock, told, sink } = setup()
  sink.content(1)
  await clock.advance(2_000)
  sink.content(1)
  t.match(told.at(-1), { type: 'progress', gapMs: 2_000 })
})

t.test('content() tells a first content after a load from one of a model in memory', async (t) => {
  const { told, sink } = setup(true)
  sink.content(1)
  t.match(told[0], { type: 'first_content', cold: true })
})
