import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { Gather } from '../../core/gather.ts'
import { codeOf, transportFailure } from '../../errors/transport.ts'
import type { AttemptInput } from './headers.ts'
import type { ClientSink } from '../answer/writer.ts'
import { type Decoding, decodingOf } from '../../runtime/coding.ts'
import { mayRefuseUs, type StatusAction, statusAction } from '../../core/exchange/ending.ts'
import type { AnswerHead, AttemptEnding, Failed, HeldAnswer } from '../../core/exchange/exchange.ts'
import {
  answerOfMistake,
  failedByContent,
  failedByStatus,
  failedByTransport,
  UNREAD,
  withOneType,
  withoutBody,
  withType,
} from './failed.ts'
import { Hop } from './pools.ts'
import { type AnswerReader, type Failure, RawReader } from '../answer/reader.ts'

/** Informational answers (1xx) before the answer; more are a flood. */
const HINTS_MAX = 32
/** Error bodies are held up to this size and for this long, to be read before they go on. What is sure to
 *  be passed on streams from there; of all else, no more is worth waiting for. */
const ERROR_BODY_MAX = 1024 * 1024
const ERROR_BODY_MS = 2_000

/** Where the answer goes. */
type AttemptSink = Pick<ClientSink, 'commit' | 'write' | 'content'> &
  Partial<Pick<ClientSink, 'works'>>

/**
 * One try at one upstream: connect, send, wait for content, relay. It ends exactly once, in
 * `done`, which never rejects. A used connection that breaks at once, before the engine can have begun,
 * is replaced by a fresh one, once, and is not evidence against the upstream.
 */
export class Attempt implements Dispatcher.DispatchHandler {
  readonly #done = Promise.withResolvers<AttemptEnding>()
  readonly done: Promise<AttemptEnding> = this.#done.promise
  readonly #input: AttemptInput
  readonly #sink: AttemptSink
  #ended = false
  readonly #hop: Hop
  #controller: Dispatcher.DispatchController | null = null
  #head: AnswerHead | null = null
  #reader: AnswerReader | null = null
  #committed = false
  #hints = 0
  /** Has any byte of an answer arrived? */
  #heard = false
  readonly #errorBody = new Gather()
  /** Takes an unasked content coding off; null: there is none. */
  #decoding: Decoding | null = null
  /** Has the body ended, as far as the connection knows? */
  #bodyEnded = false
  /** Does an error status stream to the client, as it comes? */
  #passing = false
  #cancelTimer = (): void => {}

  constructor(input: AttemptInput, sink: AttemptSink) {
    this.#input = input
    this.#sink = sink
    this.#hop = new Hop(input.pool, input.clock, !this.#replayable)
    this.#dispatch()
  }

  /** Gives up at once, with an ending that somebody else decided; the upstream sees its connection
   *  close. */
  stop(ending: AttemptEnding): void {
    this.#end(ending, 'broken')
  }

  /** The client can take more. */
  resume(): void {
    // After the end the connection may carry the answer of somebody else.
    if (!this.#ended) (this.#decoding ?? this.#controller)?.resume()
  }

  /** May the same request be sent again? What nobody judges may only where HTTP says so. */
  get #replayable(): boolean {
    const { judged, method, body } = this.#input
    return judged || (typeof body !== 'function' && (method === 'GET' || method === 'HEAD'))
  }

  #dispatch(): void {
    const { method, path, headers, body: given } = this.#input
    const body = typeof given === 'function' ? given(this.#hop.flushed) : given
    this.#hop.dispatch(
      { path, method, headers, body, headersTimeout: 0, bodyTimeout: 0, blocking: false },
      this,
    )
  }

  // What undici tells of a dispatch. It says no more after an error, so that a replay hears of
  // itself alone; what comes after the end is not listened to. An exception must not reach undici,
  // which would take it for the end of the answer.

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#ended) controller.abort(new Error('abandoned'))
    else this.#controller = controller
  }

  onResponseStarted(): void {
    if (!this.#ended) this.#heard = true
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (this.#ended) return
    this.#safely(() => {
      if (status >= 200) this.#onHead({ status, headers })
      else if (++this.#hints > HINTS_MAX) this.#invalid('It sent informational answers only.')
    })
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#ended) return
    try {
      const full = this.#decoding === null ? this.#onData(chunk) : !this.#decoding.write(chunk)
      if (full) controller.pause()
    } catch (error) {
      this.#endByBug(error)
    }
  }

  onResponseEnd(): void {
    if (this.#ended) return this.#hop.settle(true)
    this.#bodyEnded = true
    this.#afterDecoding(() => this.#onEnd(), false)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#ended) return this.#hop.settle(false)
    this.#afterDecoding(() => this.#onError(error), true)
  }

  /** `cut`: what was to be decoded may be cut short, too. */
  #afterDecoding(task: () => void, cut: boolean): void {
    const decoding = this.#decoding
    if (decoding === null) this.#safely(task)
    else decoding.end(() => this.#safely(task), cut)
  }

  #safely<T>(task: () => T): T | undefined {
    try {
      return task()
    } catch (error) {
      return this.#endByBug(error)
    }
  }

  #onHead(given: AnswerHead): void {
    const type: unknown = given.headers['content-type']
    const head = Array.isArray(type) ? withOneType(given, type) : given
    if (head === null) return this.#invalid('It sent two different Content-Types.')
    this.#head = head
    if (!this.#input.judged) this.#commit(null)
    else if (head.headers['content-encoding'] !== undefined && !this.#decodes(head)) return
    if (this.#actionOf(head.status) === 'judge') this.#reader = this.#input.readerFor(head)
    else {
      this.#cancelTimer = this.#input.clock.after(ERROR_BODY_MS, () => {
        if (this.#mayStream(head.status)) this.#passAsItComes()
        else this.#endByStatus(head, false)
      })
    }
  }

  /** False: nobody can read its coding. */
  #decodes({ headers }: AnswerHead): boolean {
    this.#decoding = decodingOf(headers, {
      data: (bytes) => this.#safely(() => this.#onData(bytes)) ?? false,
      drained: () => this.#controller?.resume(),
      broken: (message) => this.#safely(() => this.#invalid(message)),
    })
    return !this.#ended
  }

  /** Answers true when the client asks for a pause. */
  #passAsItComes(): boolean {
    this.#cancelTimer()
    this.#passing = true
    this.#reader = new RawReader()
    this.#commit(null)
    return this.#deliver([this.#errorBody.take()], 0)
  }

  /** Answers true when the client asks for a pause. */
  #onData(chunk: Buffer): boolean {
    if (this.#reader === null) {
      const streams = this.#head !== null && this.#mayStream(this.#head.status)
      if (this.#errorBody.length <= ERROR_BODY_MAX) this.#errorBody.push(chunk)
      return this.#errorBody.length > ERROR_BODY_MAX && streams && this.#passAsItComes()
    }
    const step = this.#reader.push(chunk)
    if (step.works === true) this.#sink.works?.()
    const full = this.#deliver(step.out, step.content)
    if (step.failure !== null) this.#endByFailure(step.failure)
    else if (this.#reader.complete()) {
      this.#commit(0)
      this.#end({ kind: 'finished' }, this.#bodyEnded ? 'clean' : 'open')
    } else return full
    return false
  }

  /** Hands events on; answers true when the client asks for a pause. */
  #deliver(out: readonly Buffer[], content: number, whole = false): boolean {
    if (content > 0) this.#sink.content(content)
    if (out.length === 0) return false
    this.#commit(whole ? out.reduce((sum, chunk) => sum + chunk.length, 0) : null)
    let full = false
    for (const chunk of out) full = !this.#sink.write(chunk) || full
    return full
  }

  #commit(length: number | null): void {
    if (this.#committed || this.#head === null) return
    this.#committed = true
    // Before that, undici still reads from it.
    if (this.#hop.flushed()) this.#input.bodySent?.()
    const type = this.#reader?.type ?? null
    this.#sink.commit(type === null ? this.#head : withType(this.#head, type), length)
  }

  #onEnd(): void {
    const head = this.#head
    if (head === null) return this.#onError(new Error('ended without an answer'))
    if (this.#reader === null) return this.#endByStatus(head, true)
    const step = this.#reader.end()
    this.#deliver(step.out, step.content, true)
    if (step.failure !== null) return this.#endByFailure(step.failure)
    this.#commit(0)
    const passed = { kind: 'passed', status: head.status, answer: null } as const
    this.#end(this.#passing ? passed : { kind: 'finished' }, 'clean')
  }

  /** A status that is not to be judged by its content (docs/decisions/0020). `whole`: so is its
   *  body. */
  #endByStatus(head: AnswerHead, whole: boolean): void {
    if (this.#errorBody.length > ERROR_BODY_MAX) {
      // In a stream that has begun its status is all that can be told.
      const answer = { ...head, body: Buffer.alloc(0) }
      if (this.#actionOf(head.status) === 'pass') return this.#endByAnswer(answer, 'broken')
      return this.#invalid('Its error is larger than a megabyte.')
    }
    const answer = { ...head, body: this.#errorBody.whole() }
    if (whole) return this.#endByAnswer(answer, 'clean')
    const failed = this.#failedBy(answer)
    // Half a body is nothing to pass on: it would look whole.
    if (failed !== null) return this.#end(withoutBody(failed, head), 'broken')
    this.#truncated(`It answered ${head.status}, and its body broke off.`)
  }

  /** What the table of statuses says. */
  #actionOf(status: number): StatusAction {
    const { judged, mapped } = this.#input
    return judged ? statusAction(status, { mapped }) : 'judge'
  }

  /** Is an answer of this status the client's, whatever its body says? One about a key is read first. */
  #mayStream(status: number): boolean {
    return this.#actionOf(status) === 'pass' && !mayRefuseUs(status) && !this.#input.pending()
  }

  /** How an answer that is not judged by its content ends the attempt; null: it is passed on. */
  #failedBy(answer: HeldAnswer): Failed | null {
    const { authorization } = this.#input.pool.target
    return failedByStatus(this.#actionOf(answer.status), answer, authorization)
  }

  #endByAnswer(answer: HeldAnswer, how: 'clean' | 'broken'): void {
    const passed = { kind: 'passed', status: answer.status, answer } as const
    this.#end(this.#failedBy(answer) ?? passed, how)
  }

  #invalid(message: string): void {
    this.#endByFailure({ code: 'upstream_protocol_error', message })
  }

  #truncated(message: string): void {
    this.#endByFailure({ code: 'upstream_truncated', message })
  }

  #endByFailure({ code, message, mistake = null }: Failure): void {
    if (this.#committed) this.#end({ kind: 'cut', code, detail: message }, 'broken')
    else if (mistake === null || this.#head === null) {
      this.#end(failedByContent(code, message), 'broken')
    } else this.#endByAnswer(answerOfMistake(this.#head, mistake), 'broken')
  }

  /** Whatever it was in the answer: the client gets a whole error or a cut, and another upstream may
   *  be asked. It proves nothing against this one. */
  #endByBug(error: unknown): undefined {
    this.#input.onBug(error)
    this.#end(this.#committed ? { ...UNREAD, kind: 'cut' } : UNREAD, 'broken')
  }

  #onError(error: unknown): void {
    const died = transportFailure(error) === 'reset' && !this.#heard && this.#hop.diedBefore
    if (died && this.#replayable && this.#input.mayReplay(this.#hop.seen)) {
      this.#hop.replace()
      return this.#dispatch()
    }
    if (this.#head === null) return this.#end(failedByTransport(error), 'broken')
    if (this.#reader === null) return this.#endByStatus(this.#head, false)
    this.#truncated(`The connection broke (${codeOf(error)}).`)
  }

  #end(ending: AttemptEnding, how: 'clean' | 'open' | 'broken'): void {
    if (this.#ended) return
    this.#ended = true
    this.#cancelTimer()
    this.#decoding?.close()
    this.#hop.end(how)
    this.#done.resolve(ending)
  }
}
