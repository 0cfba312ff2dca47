import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import type { Ending } from '../../core/event.ts'
import type { Answer } from '../../errors/answer.ts'
import { type ErrorCode, ERRORS } from '../../errors/catalogue.ts'
import {
  CODE_OF_TRANSPORT,
  codeOf,
  type TransportFailure,
  transportFailure,
} from '../../errors/transport.ts'
import type { ProxyDeps } from '../deps.ts'
import { report } from '../drive.ts'
import { SENT_MAX } from '../../core/exchange/ending.ts'
import { REALTIME_PATH } from '../../api/index.ts'
import type { Lease } from '../leases.ts'
import type { Pool } from '../upstream/pools.ts'
import { answerOf, choose, type Why } from './choice.ts'
import { limitFlow, relay, timeHandshake, watchWaiting } from './peer.ts'

/** What a session is about, and what only its owner can do: the library is there. */
export interface SessionAbout {
  readonly requestId: string
  readonly request: IncomingMessage
  /** The client's connection, no byte of which has been answered. */
  readonly socket: Duplex
  /** Opens a side to this upstream; `began` gets its request, which is not sent, in this turn. */
  readonly open: (pool: Pool, began: (request: ClientRequest) => void) => WebSocket
  /** Answers 101; then `done` gets the client's side. */
  readonly accept: (done: (source: WebSocket) => void) => void
  /** Answers without a socket, and closes. */
  readonly refuse: (answer: Answer) => void
  /** Nothing of it is left. */
  readonly ended: () => void
}

/** What WebSockets need of the data plane. */
export type RealtimeDeps = Pick<ProxyDeps, 'store' | 'pools' | 'leases' | 'clock' | 'emit'>
type Side = 'client' | 'upstream'

/** Close codes (RFC 6455 §7.4.1 and IANA's registry). */
const GOING_AWAY = 1001
const NO_CODE = 1005
const BROKEN = 1006
const BAD_GATEWAY = 1014

/** An upstream whose client has gone may read its close frame for so long, ms. */
const GONE_MS = 50

/**
 * One WebSocket from handshake to end: one ending, one event, and a lease for as long as an upstream
 * is asked. The client gets its 101 when an upstream has agreed; before, the next one may have it,
 * and what fails is an ordinary answer.
 */
export class RealtimeSession {
  readonly #deps: RealtimeDeps
  readonly #about: SessionAbout
  readonly #beganAt: number
  readonly #tried: string[] = []
  #lease: Lease | null = null
  #source: WebSocket | null = null
  #target: WebSocket | null = null
  #upstreamSocket: Socket | null = null
  #stopWaiting = (): void => {}
  #cancel = (): void => {}
  #status = 101
  #over = false
  #bytes = 0
  #sides = 2

  constructor(deps: RealtimeDeps, about: SessionAbout) {
    this.#deps = deps
    this.#about = about
    this.#beganAt = deps.clock.nowMs()
    deps.store.apply({ type: 'client_active', at: this.#beganAt })
  }

  /** What the 101 says besides. */
  headers(): string[] {
    const upstream = this.#lease?.upstream ?? ''
    return [`x-request-id: ${this.#about.requestId}`, `x-gengate-upstream: ${upstream}`]
  }

  start(): void {
    this.#stopWaiting = watchWaiting(this.#about.socket, () => {
      this.#end('client_gone', null)
      this.#target?.terminate()
      this.#release()
    })
    this.#try(null)
  }

  /** Tells both sides that the gate goes away. */
  shutdown(): void {
    if (this.#source === null) this.#refuse({ code: 'gate_draining' })
    else this.#end('cut', 'gate_draining', ERRORS.gate_draining.message, GOING_AWAY)
  }

  /** Destroys both sides. */
  cut(): void {
    this.#end('cut', 'gate_draining')
    this.#source?.terminate()
    this.#target?.terminate()
    if (this.#source !== null) return
    this.#about.socket.destroy()
    this.#release()
  }

  /** Asks the next upstream for a socket. `last`: why the one before gave none. */
  #try(last: Why | null): void {
    const enough = last !== null && this.#tried.length >= SENT_MAX
    const choice = enough ? last : choose(this.#deps, this.#tried)
    if ('code' in choice) return this.#refuse(last ?? choice)
    const before = this.#tried.at(-1)
    if (before !== undefined)
      this.#deps.emit({ type: 'failover', from: before, why: last?.code ?? '' })
    const { entry, pool } = choice
    const { name } = entry.spec
    this.#tried.push(name)
    const { clock, leases } = this.#deps
    const sentAt = clock.nowMs()
    // Counted only: silence on a socket says nothing.
    const item = { bytes: 0, streamed: true, sentAt, contentAt: null, maxTokens: null }
    this.#lease = leases.take(name, entry.epoch, item, null)
    let waiting = true
    const fail = (code: ErrorCode, detail = ''): void => {
      if (!waiting) return
      waiting = false
      this.#cancel()
      this.#target = null
      target.terminate()
      this.#lease?.release()
      if (!this.#over) this.#try({ code, detail })
    }
    const target = this.#about.open(pool, (request) => {
      request.once('socket', (socket) => (this.#upstreamSocket = socket))
      const { connectTimeoutMs } = pool.target
      this.#cancel = timeHandshake({ request, clock, connectTimeoutMs }, (connected) => {
        if (!connected) this.#report('unreachable')
        fail('upstream_unreachable', 'It did not answer in time.')
      })
    })
    this.#target = target
    target.on('error', (error: unknown) => {
      if (!waiting) return
      const failure = transportFailure(error)
      this.#report(failure)
      // What the library finds wrong with a handshake has no code.
      fail(codeOf(error) === '' ? 'upstream_protocol_error' : CODE_OF_TRANSPORT[failure])
    })
    // The library would leave this connection as it is.
    target.once('unexpected-response', (_request: unknown, { statusCode = 0 }: IncomingMessage) => {
      const code = statusCode === 401 ? 'upstream_misconfigured' : 'upstream_protocol_error'
      fail(code, `It answered ${statusCode} to the handshake.`)
    })
    target.once('open', () => {
      if (!waiting) return
      waiting = false
      this.#cancel()
      this.#agreed(target)
    })
  }

  /** The upstream has agreed: so does the gate. */
  #agreed(target: WebSocket): void {
    target.pause()
    this.#stopWaiting()
    this.#about.accept((source) => this.#attach(source, target))
    // A client that has left meanwhile gets no side.
    if (this.#source !== null) return
    this.#end('client_gone', null)
    target.terminate()
    this.#release()
  }

  #attach(source: WebSocket, target: WebSocket): void {
    this.#source = source
    source.on('error', () => this.#end('client_gone', null, 'The client sent no valid frame.'))
    source.on('close', (code: number, reason: Buffer) => this.#closed('client', code, reason))
    target.on('error', () => this.#failUpstream('upstream_protocol_error'))
    target.on('close', (code: number, reason: Buffer) => this.#closed('upstream', code, reason))
    const { clock } = this.#deps
    const onStuck = (to: WebSocket): void => this.#stuck(to)
    const client = this.#about.request.socket
    relay(source, target)
    relay(target, source)
    limitFlow({ from: source, to: target, socket: () => this.#upstreamSocket, clock, onStuck })
    limitFlow({ from: target, to: source, socket: () => client, clock, onStuck })
    target.on('message', (data: Buffer) => {
      this.#bytes += data.length
    })
    target.resume()
  }

  /** `to` has not read for too long. */
  #stuck(to: WebSocket): void {
    if (to === this.#source) this.#end('client_gone', null)
    else this.#failUpstream('upstream_stalled')
    this.cut()
  }

  /** Tells the table of an upstream that cannot be reached. A reset says nothing of generation:
   *  some servers know no WebSockets at all. */
  #report(failure: TransportFailure): void {
    if (this.#lease === null || (failure !== 'refused' && failure !== 'unreachable')) return
    report(this.#deps, this.#lease, { type: 'live_failure', at: this.#deps.clock.nowMs(), failure })
  }

  #failUpstream(code: ErrorCode): void {
    this.#end('cut', code, `${code}: ${ERRORS[code].message}`, BAD_GATEWAY)
  }

  /** One side has closed: the other one hears the same, or what comes next to it. */
  #closed(side: Side, code: number, reason: Buffer): void {
    if (code !== BROKEN) this.#end('finished', null, reason, code)
    else if (side === 'client') this.#end('client_gone', null, 'The client is gone.')
    else this.#failUpstream('upstream_truncated')
    this.#sides -= 1
    if (this.#sides === 0) this.#release()
  }

  /** No upstream agrees, or the gate goes away: an ordinary answer. */
  #refuse(why: Why): void {
    if (this.#over) return
    const answer = answerOf(this.#deps, why, this.#about.requestId)
    this.#stopWaiting()
    this.#status = answer.status
    this.#target?.terminate()
    this.#end('failed', why.code)
    this.#about.refuse(answer)
    this.#release()
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
    this.#stopWaiting()
    if (this.#source !== null) {
      // A side that is closing stays as it is.
      for (const side of [this.#source, this.#target]) {
        side?.close(closeCode === NO_CODE ? undefined : closeCode, reason)
        // Who is not read never gets its close frame in.
        side?.resume()
      }
      if (ending === 'client_gone') {
        this.#cancel = this.#deps.clock.after(GONE_MS, () => this.#target?.terminate())
      }
    }
    const { requestId } = this.#about
    this.#deps.emit({
      type: 'exchange_ended',
      requestId,
      method: 'GET',
      path: REALTIME_PATH,
      upstream: this.#lease?.upstream ?? null,
      status: this.#status,
      ending,
      code,
      attempts: this.#tried.length,
      ttftMs: null,
      durationMs: this.#deps.clock.nowMs() - this.#beganAt,
      bytes: this.#bytes,
      phase: this.#source === null ? 'before_commit' : 'after_commit',
    })
  }

  #release(): void {
    this.#cancel()
    this.#lease?.release()
    this.#about.ended()
  }
}
