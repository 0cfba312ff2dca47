import type { ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Clock } from '../../runtime/clock.ts'

/** Hands on all that one side says but its end. */
export function relay(from: WebSocket, to: WebSocket): void {
  from.on('message', (data: Buffer, binary: boolean) => to.send(data, { binary }))
  from.on('ping', (data: Buffer) => to.ping(data))
  from.on('pong', (data: Buffer) => to.pong(data))
}

/**
 * Calls `onGone` when a client leaves that waits for its 101. Its connection is read for that, as far
 * as its buffer goes, and what came stays in there. The returned function stops it.
 */
export function watchWaiting(socket: Duplex, onGone: () => void): () => void {
  const look = (): void => void socket.read(0)
  const gone = (): void => {
    stop()
    socket.destroy()
    onGone()
  }
  const stop = (): void => {
    socket.off('readable', look).off('end', gone).off('close', gone)
  }
  socket.on('readable', look).on('end', gone).on('close', gone)
  return stop
}

/** Bytes that may wait for a slow reader before the other side is not read any more. */
const WAITING_BYTES_MAX = 1024 * 1024
/** A side that reads nothing for so long while that much waits is gone, ms. */
const STUCK_MS_MAX = 60_000

/** One direction of a proxied WebSocket. */
export interface Flow {
  readonly from: WebSocket
  readonly to: WebSocket
  /** The connection of `to`; null: there is none yet. */
  readonly socket: () => Socket | null
  readonly clock: Pick<Clock, 'after'>
  /** `to` has read nothing for too long. */
  readonly onStuck: (to: WebSocket) => void
}

/**
 * Stops reading from one side while too much waits for the other one. Neither `ws` nor the plugin
 * has such a limit: without it a client that does not read fills our memory.
 */
export function limitFlow({ from, to, socket, clock, onStuck }: Flow): void {
  let paused = false
  const look = (): void => {
    const connection = socket()
    if (paused || connection === null || connection.destroyed) return
    if (to.bufferedAmount < WAITING_BYTES_MAX) return
    paused = true
    from.pause()
    const cancel = clock.after(STUCK_MS_MAX, () => onStuck(to))
    const go = (): void => {
      cancel()
      connection.off('drain', go)
      connection.off('close', go)
      paused = false
      from.resume()
    }
    connection.on('drain', go)
    connection.on('close', go)
  }
  // What they find waiting is what came before them, so one message more may wait.
  for (const event of ['message', 'ping', 'pong']) from.on(event, look)
}

/** An upstream that is connected answers the handshake within this, ms: no model is involved. */
const HANDSHAKE_MS_MAX = 10_000

/**
 * Times a handshake whose request has not been sent: connecting and answering have a limit each.
 * The library's own would begin anew with every byte. The returned function cancels.
 */
export function timeHandshake(
  what: {
    readonly request: ClientRequest
    readonly clock: Pick<Clock, 'after'>
    readonly connectTimeoutMs: number
  },
  onLate: (connected: boolean) => void,
): () => void {
  const { request, clock, connectTimeoutMs } = what
  let over = false
  let cancel = clock.after(connectTimeoutMs, () => onLate(false))
  request.once('socket', (socket) => {
    socket.once('connect', () => {
      cancel()
      if (!over) cancel = clock.after(HANDSHAKE_MS_MAX, () => onLate(true))
    })
  })
  return () => {
    over = true
    cancel()
  }
}
