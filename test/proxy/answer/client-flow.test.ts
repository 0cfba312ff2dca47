import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import t from 'tap'
import { STALLED_MS } from '../../../src/core/exchange/trying.ts'
import { ClientFlow } from '../../../src/proxy/answer/client-flow.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'

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
