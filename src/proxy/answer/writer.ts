import type { ServerResponse } from 'node:http'
import type { AnswerApi } from '../../api/api.ts'
import type { AnswerHead, Flow, HeldAnswer } from '../../core/exchange/exchange.ts'
import { isEstablished, STALLED_MS } from '../../core/exchange/trying.ts'
import type { ErrorCode } from '../../errors/catalogue.ts'
import type { Clock } from '../../runtime/clock.ts'
import { errorFrame, errorFrameOf, mayBeNumbered, sequenceAfter } from '../../api/frame.ts'
import type { ProxyDeps } from '../deps.ts'
import { report } from '../drive.ts'
import type { Lease } from '../leases.ts'

/** Comments go out at this pace while nothing else does: clients exist that cut a socket which is
 *  silent for ten seconds. */
const KEEP_ALIVE_MS = 5_000
/** A client that does not read its last bytes within this time has its connection destroyed. */
const FLUSH_MS_MAX = 5_000

/**
 * The client's side of one exchange. Its states go one way: nothing sent → (200 with comments) →
 * the upstream's answer → ended. Only whole events are ever written, so an error frame always
 * starts a line.
 */
export class AnswerWriter {
  readonly #response: ServerResponse
  readonly #clock: Clock
  readonly #api: AnswerApi | null
  #state: 'open' | 'pending' | 'committed' | 'ended' = 'open'
  #bytes = 0
  #streamed = false
  /** What was written last that may tell a number: an error frame goes on from it. */
  #numbered: Buffer | null = null
  /** Are chunks framed here? */
  #framed = false
  #cancelKeepAlive = (): void => {}

  /** `api` says what an error looks like inside a stream; null: nothing is put into it. */
  constructor(response: ServerResponse, clock: Clock, api: AnswerApi | null) {
    this.#response = response
    this.#clock = clock
    this.#api = api
  }

  /** Bytes of body written to the client. */
  get bytes(): number {
    return this.#bytes
  }

  /** Has a stream begun whose upstream is still to come? */
  get pending(): boolean {
    return this.#state === 'pending'
  }

  /** 200 and comments while the answer is still to come (the commit deadline has passed). */
  beginPending(headers: Record<string, string | string[]>): void {
    if (this.#state !== 'open') return
    this.#state = 'pending'
    this.#streamed = true
    this.#response.writeHead(200, headers)
    this.#frame()
    this.#keepAlive()
  }

  /** The head of the upstream's answer; a comment instead where the head has gone out already. */
  commit(status: number, headers: Record<string, string | string[]>, upstream: string): void {
    this.#cancelKeepAlive()
    if (this.#state === 'pending') this.#send(Buffer.from(`: gengate upstream=${upstream}\n\n`))
    else if (this.#state === 'open') this.#response.writeHead(status, headers)
    this.#streamed ||= String(headers['content-type'] ?? '').startsWith('text/event-stream')
    if (this.#streamed) this.#frame()
    this.#state = 'committed'
    // Nobody waits for content here: the head may be all that comes for long.
    if (this.#api === null) this.#response.flushHeaders()
  }

  /** Answers false when the client is slow. */
  write(chunk: Buffer): boolean {
    if (this.#api?.errors.numbered === true && mayBeNumbered(chunk)) this.#numbered = chunk
    return this.#state === 'committed' ? this.#send(chunk) : true
  }

  onDrain(listener: () => void): void {
    this.#response.once('drain', listener)
  }

  /** A whole answer at once: an error of the gate's own, or the upstream's held one. */
  answer(
    status: number,
    headers: Readonly<Record<string, string | string[]>>,
    body: Buffer | string,
  ): void {
    if (this.#state !== 'open') return
    this.#state = 'ended'
    this.#bytes += Buffer.byteLength(body)
    this.#response.writeHead(status, {
      ...headers,
      'content-length': String(Buffer.byteLength(body)),
    })
    this.#response.end(body)
  }

  /** The upstream's own error, or its frame where the head has gone out already. */
  passOn(answer: HeldAnswer, headers: Record<string, string | string[]>): void {
    if (this.#state === 'open') return this.answer(answer.status, headers, answer.body)
    const text = answer.body.toString('utf8')
    const about = { sequence: this.#sequence, status: answer.status }
    const frame = this.#api && errorFrameOf(this.#api, text, about)
    if (frame !== null) this.#cutWith(frame)
    else this.cut('upstream_error', `It answered ${answer.status}.`)
  }

  /** The proper end of the upstream's answer. */
  end(): void {
    if (this.#state === 'ended') return
    this.#cancelKeepAlive()
    this.#state = 'ended'
    if (this.#framed) this.#response.end(LAST_CHUNK)
    else this.#response.end()
  }

  /**
   * The end of an answer that has begun and cannot be completed: one error frame for an event
   * stream, nothing for other bodies, then the connection is destroyed. Never `[DONE]`.
   */
  cut(code: ErrorCode, detail: string): void {
    if (this.#state === 'ended') return
    if (this.#api === null) return this.destroy()
    this.#cutWith(errorFrame(this.#api, code, detail, this.#sequence))
  }

  get #sequence(): number {
    return this.#numbered === null ? 0 : sequenceAfter(this.#numbered)
  }

  #cutWith(frame: string): void {
    this.#cancelKeepAlive()
    this.#state = 'ended'
    const response = this.#response
    if (!this.#streamed) return void response.destroy()
    const cancel = this.#clock.after(FLUSH_MS_MAX, () => response.destroy())
    response.once('close', cancel)
    // Ending the socket after the flush, not the response: the last chunk stays missing, so that
    // no client can take this for a proper end.
    const bytes = Buffer.from(frame)
    response.write(this.#framed ? asChunk(bytes) : bytes, () => response.socket?.destroySoon())
  }

  /** Tears the connection down without a word. */
  destroy(): void {
    this.#cancelKeepAlive()
    this.#state = 'ended'
    this.#response.destroy()
  }

  #send(chunk: Buffer): boolean {
    // An empty chunk would be the end.
    if (chunk.length === 0) return true
    this.#bytes += chunk.length
    return this.#response.write(this.#framed ? asChunk(chunk) : chunk)
  }

  /** Takes the framing of chunks over from Node, which hands four pieces to the kernel for each.
   *  Node has announced the chunks in the head already; to an HTTP/1.0 client it has not. */
  #frame(): void {
    const response: ServerResponse & { chunkedEncoding?: boolean } = this.#response
    if (!response.chunkedEncoding) return
    response.chunkedEncoding = false
    this.#framed = true
  }

  #keepAlive(): void {
    this.#send(Buffer.from(': keep-alive\n\n'))
    this.#cancelKeepAlive = this.#clock.after(KEEP_ALIVE_MS, () => this.#keepAlive())
  }
}

/** The end of a chunked body without trailers (RFC 9112 §7.1). */
const LAST_CHUNK: Buffer = Buffer.from('0\r\n\r\n')

const CR = 0x0d
const LF = 0x0a

/** Bytes as one chunk of a chunked body, in one piece. They must not be empty: that is the end. */
function asChunk(bytes: Buffer): Buffer {
  const size = `${bytes.length.toString(16)}\r\n`
  const chunk = Buffer.allocUnsafe(size.length + bytes.length + 2)
  chunk.write(size, 0, 'latin1')
  chunk.set(bytes, size.length)
  chunk[chunk.length - 2] = CR
  chunk[chunk.length - 1] = LF
  return chunk
}

/** Looks from time to time at how an answer gets on. */
export class ClientFlow {
  readonly #response: ServerResponse
  #written = -1
  #waiting = -1
  #movedAt = 0

  constructor(response: ServerResponse) {
    this.#response = response
  }

  /** `written`: bytes of the answer so far. */
  look(nowMs: number, written: number): Flow {
    const { writableLength: waiting, writableNeedDrain: blocked } = this.#response
    if (written !== this.#written || waiting !== this.#waiting) this.#movedAt = nowMs
    this.#written = written
    this.#waiting = waiting
    return { stillMs: nowMs - this.#movedAt, blocked }
  }

  /** The answer has ended, and nobody looks any more: what waits has so long to leave. */
  end(clock: Clock): void {
    const response = this.#response
    if (response.destroyed || (response.socket?.writableLength ?? 0) === 0) return
    response.once(
      'close',
      clock.after(STALLED_MS, () => response.destroy()),
    )
  }
}

export interface SinkInput {
  readonly deps: ProxyDeps
  readonly lease: Lease
  /** The model that answers, by the name that the upstream knows; absent or null: it has none. */
  readonly means?: string | null
  readonly writer: AnswerWriter
  /** Status and headers for the client, from the upstream's. */
  readonly headFor: (head: AnswerHead, length: number | null) => Record<string, string | string[]>
  /** The upstream's answer has begun to reach the client. */
  readonly onCommit: () => void
  /** Content is about to reach the client, or would if it were not held. */
  readonly onFirstContent: () => void
}

/** Between one attempt and the client: writes, measures, and tells the table what moves. */
export class ClientSink {
  readonly #in: SinkInput
  #attempt: { resume(): void } | null = null
  #events = 0
  #firstAt = 0
  #lastAt = 0

  constructor(input: SinkInput) {
    this.#in = input
  }

  /** The attempt to pause and resume; it exists only after its sink. */
  attach(attempt: { resume(): void }): void {
    this.#attempt = attempt
  }

  commit(head: AnswerHead, length: number | null): void {
    const { writer, lease, headFor, onCommit } = this.#in
    writer.commit(head.status, headFor(head, length), lease.upstream)
    onCommit()
  }

  write(chunk: Buffer): boolean {
    const { deps, writer, lease } = this.#in
    const more = writer.write(chunk)
    if (!more) {
      lease.pause(deps.clock.nowMs())
      writer.onDrain(() => this.#readOn())
    }
    return more
  }

  /** The time in which the client took nothing is nobody's silence, and no gap between tokens. */
  #readOn(): void {
    const { deps, lease } = this.#in
    this.#lastAt = deps.clock.nowMs()
    lease.resume(this.#lastAt)
    this.#attempt?.resume()
  }

  works(): void {
    const { deps, lease } = this.#in
    lease.workedAt(deps.clock.nowMs())
  }

  content(events: number): void {
    const { deps, lease } = this.#in
    const at = deps.clock.nowMs()
    lease.contentAt(at)
    if (this.#events === 0) this.#first(at)
    else this.#next(at)
    this.#events += events
    this.#lastAt = at
  }

  #first(at: number): void {
    const { deps, lease } = this.#in
    this.#firstAt = at
    const { sentAt, bytes, cold = false } = lease.item
    if (lease.work === 'generation') {
      report(deps, lease, { type: 'first_content', at, ttftMs: at - sentAt, bytes, cold })
    }
    this.#in.onFirstContent()
  }

  #next(at: number): void {
    const { deps, lease, means = null } = this.#in
    const gapMs = at - this.#lastAt
    deps.emit({ type: 'gap', upstream: lease.upstream, gapMs })
    if (lease.work !== 'generation') return
    if (!isEstablished(at - this.#firstAt, this.#events)) return
    const longestMs = lease.progress(at, gapMs)
    if (longestMs === null) return
    report(deps, lease, { type: 'progress', at, gapMs: longestMs, model: means })
  }
}
