import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Answer } from '../errors/answer.ts'

/** Answers a request that asks for no socket, at a path that has one. */
export type Plain = (request: FastifyRequest, reply: FastifyReply) => unknown

/** What takes connections that become WebSockets: a room that the composition root injects. */
export interface Upgrades {
  /** Why a request that the guards let through gets no socket now; null: it gets one. */
  readonly refusal: (requestId: string) => Answer | null
  /** Has this request's connection been taken over? */
  readonly took: (request: IncomingMessage) => boolean
  /** Adds its routes and its listener. */
  readonly register: (app: FastifyInstance, plain: Plain) => void
  /** Tells every socket that the gate goes away; each is closed within seconds. */
  readonly close: () => void
  /** Destroys every socket. */
  readonly cut: () => void
}

/**
 * Looks after each connection that Node hands out for another protocol, before anybody else does.
 * Node has taken its own error listener away: without this one, a client's reset would end the
 * process. And a connection that nobody took over in this turn (the plugin swallows what it throws
 * after its 101) would stay open for ever.
 */
export function takeUpgrades(server: Server, upgrades: Upgrades): void {
  server.prependListener('upgrade', (request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => socket.destroy())
    queueMicrotask(() => {
      if (upgrades.took(request)) return
      // What has been written, such as a refusal, still goes out.
      socket.once('finish', () => socket.destroy())
      socket.end()
    })
  })
}
