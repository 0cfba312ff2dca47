import { EventEmitter } from 'node:events'
import type { ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import t from 'tap'
import type { WebSocket } from 'ws'
import { limitFlow, timeHandshake, watchWaiting } from '../../../src/proxy/realtime/peer.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'

// Goal: what the library does not do by itself. Method: emitters in the place of sockets, virtual time.

class Side extends EventEmitter {
  bufferedAmount = 0
  readonly calls: string[] = []
  pause(): void {
    this.calls.push('pause')
  }
  resume(): void {
    this.calls.push('resume')
  }
}

function flow() {
  const clock = new VirtualClock()
  const [from, to, socket] = [new Side(), new Side(), new EventEmitter()]
  const stuck: unknown[] = []
  limitFlow({
    from: from as unknown as WebSocket,
    to: to as unknown as WebSocket,
    socket: () => socket as Socket,
    clock,
    onStuck: (side) => void stuck.push(side),
  })
  return { clock, from, to, socket, stuck }
}

t.test('limitFlow() reads on as long as little waits', async (t) => {
  const { clock, from, to } = flow()
  to.bufferedAmount = 1024 * 1024 - 1
  for (const event of ['message', 'ping', 'pong']) from.emit(event)
  t.strictSame(from.calls, [])
  t.equal(clock.pending, 0)
})

t.test('limitFlow() reads no further while too much waits at the reader', async (t) => {
  for (const end of ['drain', 'close']) {
    const { clock, from, to, socket, stuck } = flow()
    to.bufferedAmount = 1024 * 1024
    from.emit('message')
    from.emit('message')
    t.strictSame(from.calls, ['pause'], 'once')
    await clock.advance(59_000)
    socket.emit(end)
    t.strictSame(from.calls, ['pause', 'resume'], end)
    await clock.advance(60_000)
    t.strictSame(stuck, [])
    t.equal(socket.listenerCount('drain') + socket.listenerCount('close'), 0)
    from.emit('ping')
    t.equal(from.calls.length, 3, 'and again')
  }
})

t.test('limitFlow() tells of a reader that does not move for a minute', async (t) => {
  const { clock, from, to, stuck } = flow()
  to.bufferedAmount = 1024 * 1024
  from.emit('pong')
  await clock.advance(60_000)
  t.strictSame(stuck, [to])
})

t.test('watchWaiting() hears a client leave, and leaves what it has sent for later', async (t) => {
  const waiting = new PassThrough()
  let gone = 0
  watchWaiting(waiting, () => gone++)
  waiting.write('early frame')
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(waiting.readableLength, 11)
  waiting.destroy()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(gone, 1)

  const accepted = new PassThrough()
  watchWaiting(accepted, () => gone++)()
  accepted.destroy()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(gone, 1, 'not after it has been stopped')
})

function begin() {
  const clock = new VirtualClock()
  const [request, socket] = [new EventEmitter(), new EventEmitter()]
  const late: boolean[] = []
  const what = { request: request as ClientRequest, clock, connectTimeoutMs: 1_000 }
  const cancel = timeHandshake(what, (connected) => void late.push(connected))
  request.emit('socket', socket)
  return { clock, socket, late, cancel }
}

t.test('timeHandshake() has a limit for connecting and one for the answer', async (t) => {
  const never = begin()
  await never.clock.advance(1_000)
  t.strictSame(never.late, [false])

  const slow = begin()
  await slow.clock.advance(999)
  slow.socket.emit('connect')
  await slow.clock.advance(9_999)
  t.strictSame(slow.late, [])
  await slow.clock.advance(1)
  t.strictSame(slow.late, [true])

  const over = begin()
  over.cancel()
  over.socket.emit('connect')
  t.equal(over.clock.pending, 0)
})
