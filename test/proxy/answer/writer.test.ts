import t from 'tap'
import { EventEmitter } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import type { Test } from 'tap'
import { STALLED_MS } from '../../../src/core/exchange/trying.ts'
import {
  AnswerWriter,
  ClientFlow,
  ClientSink,
  type SinkInput,
} from '../../../src/proxy/answer/writer.ts'
import { type Clock, systemClock } from '../../../src/runtime/clock.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'
import { ANSWERS } from '../../support/answer-apis.ts'
import { Leases } from '../../../src/proxy/leases.ts'

// Goal: what reaches a client is a whole answer, or an error that cannot be taken for one.
// Method: a real response, read by fetch.

const SSE = { 'content-type': 'text/event-stream' }

async function answered(
  t: Test,
  write: (writer: AnswerWriter) => void,
  clock: Clock = systemClock,
) {
  const server = createServer((_request, response: ServerResponse) =>
    write(new AnswerWriter(response, clock, ANSWERS.chat)),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close().closeAllConnections())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const response = await fetch(`http://127.0.0.1:${port}/`)
  const text = await response.text().catch(() => null)
  return { response, text }
}

t.test('commit(), write() and end() give a proper answer', async (t) => {
  const { response, text } = await answered(t, (writer) => {
    writer.commit(200, SSE, 'a')
    writer.write(Buffer.from('data: 1\n\n'))
    writer.end()
    writer.cut('internal_error', 'too late')
  })
  t.equal(response.status, 200)
  t.equal(text, 'data: 1\n\n')
})

t.test('cut() breaks the connection after its frame', async (t) => {
  const raw: string[] = []
  const server = createServer((_request, response) => {
    const writer = new AnswerWriter(response, systemClock, ANSWERS.chat)
    writer.commit(200, SSE, 'a')
    writer.write(Buffer.from('data: 1\n\n'))
    writer.cut('upstream_truncated', 'gone')
    writer.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const response = await fetch(`http://127.0.0.1:${port}/`)
  const failure = await (async () => {
    for await (const chunk of response.body ?? []) raw.push(Buffer.from(chunk).toString())
  })().catch((error: unknown) => error)
  t.ok(failure instanceof Error, 'no proper end')
  t.match(raw.join(''), /^data: 1\n\ndata: \{"error":\{.*"code":"upstream_truncated"\}\}\n\n$/)
})

t.test('cut() of anything but a stream says nothing and breaks', async (t) => {
  const { text } = await answered(t, (writer) => {
    writer.commit(200, { 'content-type': 'application/json' }, 'a')
    writer.write(Buffer.from('{"half":'))
    setTimeout(() => writer.cut('upstream_truncated', ''), 20)
  })
  t.equal(text, null)
})

t.test('beginPending() sends comments at its pace until something better comes', async (t) => {
  const clock = new VirtualClock()
  const { response, text } = await answered(
    t,
    (writer) => {
      writer.beginPending({ ...SSE, 'x-gengate-upstream': 'pending' })
      void (async () => {
        await clock.advance(10_000)
        writer.commit(200, SSE, 'b')
        writer.write(Buffer.from('data: 1\n\n'))
        writer.end()
      })()
    },
    clock,
  )
  t.equal(response.headers.get('x-gengate-upstream'), 'pending')
  t.equal(text, ': keep-alive\n\n'.repeat(3) + ': gengate upstream=b\n\ndata: 1\n\n')
  t.equal(clock.pending, 0)
})

t.test("passOn() gives the upstream's own error, as a frame where the head is out", async (t) => {
  const held = { status: 503, headers: {}, body: Buffer.from('{"error":{"message":"full"}}') }
  const open = await answered(t, (writer) => writer.passOn(held, { 'retry-after': '7' }))
  t.equal(open.response.status, 503)
  t.equal(open.response.headers.get('retry-after'), '7')
  t.equal(open.text, held.body.toString())
})

t.test('write() and cut() frame the chunks of a stream byte for byte', async (t) => {
  const server = createServer((_request, response) => {
    const writer = new AnswerWriter(response, systemClock, ANSWERS.chat)
    writer.commit(200, SSE, 'a')
    writer.write(Buffer.from('data: €\n\n'))
    t.equal(writer.write(Buffer.alloc(0)), true, 'nothing is not the end')
    writer.write(Buffer.alloc(300, 'x'))
    writer.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const got = async (version: string): Promise<string> => {
    const socket = connect(port, '127.0.0.1')
    socket.write(`GET / HTTP/${version}\r\nhost: a\r\nconnection: close\r\n\r\n`)
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    return text.slice(text.indexOf('\r\n\r\n') + 4)
  }
  const long = 'x'.repeat(300)
  t.equal(await got('1.1'), `b\r\ndata: €\n\n\r\n12c\r\n${long}\r\n0\r\n\r\n`)
  t.equal(await got('1.0'), `data: €\n\n${long}`, 'HTTP/1.0 knows no chunks')
})

/** As much of a response as is looked at. */
class Answer extends EventEmitter {
  writableLength: number
  writableNeedDrain: boolean
  socket: { writableLength: number } | null
  destroyed = false

  constructor(waiting: number) {
    super()
    this.writableLength = waiting
    this.writableNeedDrain = waiting > 0
    this.socket = { writableLength: waiting }
  }

  destroy(): void {
    this.destroyed = true
    this.emit('close')
  }
}
const answer = (waiting: number) => new Answer(waiting)
const flowOf = (response: Answer) => new ClientFlow(response as unknown as ServerResponse)

t.test('look() counts from the last byte that was written or has left', async (t) => {
  const response = answer(0)
  const flow = flowOf(response)
  t.strictSame(flow.look(1_000, 10), { stillMs: 0, blocked: false })
  t.strictSame(flow.look(3_000, 10), { stillMs: 2_000, blocked: false })
  t.strictSame(flow.look(4_000, 11), { stillMs: 0, blocked: false })
  Object.assign(response, { writableLength: 500, writableNeedDrain: true })
  t.strictSame(flow.look(5_000, 11), { stillMs: 0, blocked: true })
  t.strictSame(flow.look(6_000, 11), { stillMs: 1_000, blocked: true })
  response.writableLength = 400
  t.strictSame(flow.look(7_000, 11), { stillMs: 0, blocked: true }, 'it reads, slowly')
})

t.test('end() gives what waits a bounded time, and leaves no timer behind', async (t) => {
  const clock = new VirtualClock()
  const lazy = answer(1)
  flowOf(lazy).end(clock)
  await clock.advance(STALLED_MS - 1)
  t.notOk(lazy.destroyed)
  await clock.advance(1)
  t.ok(lazy.destroyed)
  const read = answer(1)
  flowOf(read).end(clock)
  t.equal(clock.pending, 1)
  read.emit('close')
  t.equal(clock.pending, 0)
  for (const done of [answer(0), Object.assign(answer(1), { destroyed: true })]) {
    flowOf(done).end(clock)
  }
  flowOf(Object.assign(answer(1), { socket: null })).end(clock)
  t.equal(clock.pending, 0, 'the usual case costs no timer')
})

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
