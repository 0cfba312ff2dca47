/** What is used of `ws`, which brings no types. */
declare module 'ws' {
  import type { EventEmitter } from 'node:events'
  import type { IncomingMessage } from 'node:http'
  import type { AddressInfo } from 'node:net'
  import type { Duplex } from 'node:stream'

  /** One side of a WebSocket. */
  export class WebSocket extends EventEmitter {
    constructor(url: string, protocols: readonly string[], options: object)
    readonly readyState: number
    /** Bytes that wait for the network. */
    readonly bufferedAmount: number
    /** The subprotocol that it has been asked for or has agreed to, or ''. */
    readonly protocol: string
    close(code?: number, reason?: Buffer | string): void
    terminate(): void
    pause(): void
    resume(): void
    send(data: Buffer | string, options?: { readonly binary?: boolean }): void
    ping(data?: Buffer | string): void
    pong(data: Buffer): void
  }

  /** Answers handshakes. */
  export class WebSocketServer extends EventEmitter {
    constructor(options: object)
    readonly clients: ReadonlySet<WebSocket>
    handleUpgrade(
      request: IncomingMessage,
      socket: Duplex,
      head: Buffer,
      done: (source: WebSocket) => void,
    ): void
    address(): AddressInfo
    close(): void
  }
}
