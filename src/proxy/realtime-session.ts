import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Ending } from '../core/event.ts'
import { type ErrorCode, ERRORS } from '../errors/catalogue.ts'
import {
  CODE_OF_TRANSPORT,
  codeOf,
  type TransportFailure,
  transportFailure,
} from '../errors/transport.ts'
import type { ProxyDeps } from './deps.ts'
import { REALTIME_PATH } from './guard-upgrade.ts'
import type { Lease } from './leases.ts'
import type { Pool } from './pools.ts'
import { limitFlow, type Peer, timeHandshake } from './realtime-peer.ts'

export interface SessionAbout {
  readonly requestId: string
  readonly upstream: string
  readonly epoch: number
  readonly request: IncomingMessage
  readonly pool: Pool
}

type Deps = Pick<ProxyDeps, 'store' | 'leases' | 'clock' | 'emit'>
type Side = 'client' | 'upstream'

const SILENT = { bytes: 0, streamed: true, contentAt: null, maxTokens: null }

/** Close codes (RFC 6455 §7.4.1 and IANA's registry). */
const GOING_AWAY = 1001
const NO_CODE = 1005
const BROKEN = 1006
const BAD_GATEWAY = 1014

/**
 * One WebSocket from handshake to end: a lease, two sides, one ending, one event. Its listeners
 * are added before the library's own, which lift a missing close code to 4005, a broken
 * connection to 4006, tell the client which address refused, throw at reasons above 123 bytes,
 * and leave an upstream open that agrees after its client has left. They find both sides closing.
 */
export class RealtimeSession {
  readonly #deps: Deps
  readonly #about: SessionAbout
  readonly #lease: Lease
  readonly #beganAt: number
  #source: Peer | null = null
  #target: Peer | null = null
  #upstreamSocket: Socket | null = null
  #cancel = (): void => {}
  #ended = (): void => {}
  #opened = false
  #over = false
  #bytes = 0
  #sides = 2
  #attached = false

  constructor(deps: Deps, about: SessionAbout) {
    this.#deps = deps
    this.#about = about
    this.#beganAt = deps.clock.nowMs()
    // Counted only: silence on a socket says nothing.
    const item = { ...SILENT, sentAt: this.#beganAt }
    this.#lease = deps.leases.take(about.upstream, about.epoch, item, null)
    deps.store.apply({ type: 'client_active', at: this.#beganAt })
    this.#client.once('close', () => {
      if (this.#attached) return
      this.#end('client_gone', null)
      this.#release()
    })
  }

  /** Has it got its two sides? */
  get attached(): boolean {
    return this.#attached
  }

  get #client(): Socket {
    return this.#about.request.socket
  }

  /** Where the library connects to. */
  get origin(): string {
    return new URL(this.#about.pool.target.url).origin
  }

  /** The upstream's own key, as a header; null: it has none. */
  get authorization(): string | null {
    return this.#about.pool.target.authorization
  }

  /** What the 101 says besides. */
  headers(): string[] {
    const { requestId, upstream } = this.#about
    return [`x-request-id: ${requestId}`, `x-gengate-upstream: ${upstream}`]
  }

  /** Calls `listener` when both sides are closed and the lease is released. */
  onEnded(listener: () => void): void {
    this.#ended = listener
  }

  /** Takes the client's socket, which is open, and the upstream's, whose `request` is not sent. */
  attach(source: Peer, target: Peer, request: ClientRequest): void {
    this.#source = source
    this.#target = target
    // Else the library would keep, without limit, what comes before the upstream has agreed.
    source.pause()
    // As the client wrote it, below the upstream's own base path.
    const { pathname } = new URL(this.#about.pool.target.url)
    request.path = `${pathname.replace(/\/$/, '')}${this.#about.request.url ?? ''}`
    request.once('socket', (socket) => {
      this.#upstreamSocket = socket
    })
    const { clock } = this.#deps
    const { connectTimeoutMs } = this.#about.pool.target
    this.#cancel = timeHandshake({ request, clock, connectTimeoutMs }, (connected) => {
      if (!connected) this.#report('unreachable')
      this.#failUpstream('upstream_unreachable', 'It did not answer in time.')
    })
    source.on('error', () => this.#end('client_gone', null, 'The client sent no valid frame.'))
    source.on('close', (code: number, reason: Buffer) => this.#closed('client', code, reason))
    target.on('error', (error: unknown) => this.#failed(error))
    target.on('close', (code: number, reason: Buffer) => this.#closed('upstream', code, reason))
    // The library would leave this connection as it is.
    target.once('unexpected-response', (_request: unknown, answer: IncomingMessage) =>
      this.#refused(answer.statusCode ?? 0),
    )
    target.once('upgrade', (answer: IncomingMessage) => this.#agreed(answer, source))
    target.once('open', () => {
      this.#cancel()
      this.#opened = true
      source.resume()
    })
    const onStuck = (to: Peer): void => this.#stuck(to)
    limitFlow({ from: source, to: target, socket: () => this.#upstreamSocket, clock, onStuck })
    limitFlow({ from: target, to: source, socket: () => this.#client, clock, onStuck })
    target.on('message', (data: Buffer) => {
      this.#bytes += data.length
    })
    this.#attached = true
  }

  /** Tells both sides that the gate goes away. */
  shutdown(): void {
    this.#end('cut', 'gate_draining', ERRORS.gate_draining.message, GOING_AWAY)
  }

  /** Destroys both sides. */
  cut(): void {
    this.#end('cut', 'gate_draining')
    this.#source?.terminate()
    this.#target?.terminate()
  }

  /** Engines ignore subprotocols (vLLM), which the library takes for a fault; browsers want the
   *  answer to theirs, and have got it. */
  #agreed(answer: IncomingMessage, source: Peer): void {
    if (source.protocol !== '') answer.headers['sec-websocket-protocol'] ??= source.protocol
  }

  /** `to` has not read for too long. */
  #stuck(to: Peer): void {
    if (to === this.#source) this.#end('client_gone', null)
    else this.#failUpstream('upstream_stalled', '')
    this.cut()
  }

  /** The upstream answered, but not with a socket. */
  #refused(status: number): void {
    const code = status === 401 ? 'upstream_misconfigured' : 'upstream_protocol_error'
    this.#failUpstream(code, `It answered ${status} to the handshake.`)
  }

  #failed(error: unknown): void {
    if (this.#over) return
    if (this.#opened) return this.#failUpstream('upstream_protocol_error', '')
    const failure = transportFailure(error)
    this.#report(failure)
    // What the library finds wrong with a handshake has no code.
    this.#failUpstream(
      codeOf(error) === '' ? 'upstream_protocol_error' : CODE_OF_TRANSPORT[failure],
      '',
    )
  }

  /** Tells the table of an upstream that cannot be reached. A reset says nothing of generation:
   *  some servers know no WebSockets at all. */
  #report(failure: TransportFailure): void {
    if (failure !== 'refused' && failure !== 'unreachable') return
    const { store, clock } = this.#deps
    const evidence = { type: 'live_failure', at: clock.nowMs(), failure } as const
    const { upstream: name, epoch } = this.#about
    store.apply({ type: 'evidence', name, epoch, evidence })
  }

  #failUpstream(code: ErrorCode, detail: string): void {
    const reason = `${code}: ${detail === '' ? ERRORS[code].message : detail}`
    this.#end(this.#opened ? 'cut' : 'failed', code, reason, BAD_GATEWAY)
  }

  /** One side has closed: the other one hears the same, or what comes next to it. */
  #closed(side: Side, code: number, reason: Buffer): void {
    if (code !== BROKEN) this.#end('finished', null, reason, code)
    else if (side === 'client') this.#end('client_gone', null, 'The client is gone.')
    else this.#failUpstream('upstream_truncated', '')
    this.#sides -= 1
    if (this.#sides === 0) this.#release()
  }

  /** The one ending and the one event; closes what is still open. */
  #end(
    ending: Ending,
    code: ErrorCode | null,
    reason: Buffer | string = '',
    closeCode = GOING_AWAY,
  ): void {
    if (this.#over) return
    this.#over = true
    this.#cancel()
    // A side that is closing stays as it is; one that is opening is given up.
    const sides = [this.#source, this.#target]
    for (const side of sides) side?.close(closeCode === NO_CODE ? undefined : closeCode, reason)
    // Who is not read never gets its close frame in. `ws` throws where nothing was opened.
    this.#source?.resume()
    if (this.#opened) this.#target?.resume()
    const { requestId, upstream } = this.#about
    this.#deps.emit({
      type: 'exchange_ended',
      requestId,
      method: 'GET',
      path: REALTIME_PATH,
      upstream,
      status: 101,
      ending,
      code,
      attempts: 1,
      ttftMs: null,
      durationMs: this.#deps.clock.nowMs() - this.#beganAt,
      bytes: this.#bytes,
      phase: 'after_commit',
    })
  }

  #release(): void {
    this.#lease.release()
    this.#ended()
  }
}
