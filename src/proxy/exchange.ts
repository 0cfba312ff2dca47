import type { ServerResponse } from 'node:http'
import type { Ending } from '../core/event.ts'
import { reasonsText, retryAfterMs } from '../core/explain.ts'
import { decide } from '../core/route.ts'
import { errorAnswer } from '../errors/answer.ts'
import type { ErrorCode } from '../errors/catalogue.ts'
import { AnswerWriter } from './answer/answer-writer.ts'
import { answerHeaders, pendingHeaders } from './upstream/attempt-input.ts'
import { ClientFlow, STALLED_MS } from './answer/client-flow.ts'
import {
  begin,
  follows,
  type Forward,
  isReplaced,
  noModel,
  noRoute,
  routeRequest,
  type Running,
  waitingOf,
} from './begin.ts'
import { type Asked, type ProxyDeps, report } from './deps.ts'
import type { AttemptEnding, Failed, HeldAnswer } from '../core/exchange/ending.ts'
import { evidenceOf, SENT_MAX, stalled } from '../core/exchange/ending.ts'
import { type Blocked, startFor } from './hold.ts'
import { patienceLost } from '../core/exchange/patience.ts'

/**
 * One client request and all that happens to it: route, attempt, failover until the first content,
 * one ending, one event. `run` never rejects for an expected ending.
 */
export class Exchange {
  readonly #deps: ProxyDeps
  readonly #asked: Asked
  readonly #response: ServerResponse
  readonly #writer: AnswerWriter
  readonly #flow: ClientFlow
  readonly #tried: string[] = []
  #running: Running | null = null
  #upstream: string | null = null
  #sent = 0
  #spent = 0
  #attempts = 0
  /** Headers of an answer that fails. */
  #more: Record<string, string> = {}
  #ttftMs: number | null = null
  #over = false
  #held = false
  #stopWaiting = (): void => {}
  #cancelCommit = (): void => {}

  constructor(deps: ProxyDeps, asked: Asked, response: ServerResponse) {
    this.#deps = deps
    this.#asked = asked
    this.#response = response
    this.#flow = new ClientFlow(response)
    this.#writer = new AnswerWriter(response, { clock: deps.clock, api: asked.lane.api })
  }

  async run(): Promise<void> {
    this.#response.on('close', () => this.#leave('client_gone'))
    if (this.#response.destroyed) return this.#leave('client_gone')
    this.#armCommitDeadline()
    try {
      await this.#loop()
    } finally {
      this.#cancelCommit()
      this.#running?.lease.release()
    }
  }

  /** Called by the watch while it runs: leaves an upstream that is silent for too long, and a client
   *  that takes nothing. */
  tick(nowMs: number): void {
    if (this.#running === null) return
    const flow = this.#flow.look(nowMs, this.#writer.bytes)
    if (flow.blocked && flow.stillMs >= STALLED_MS) return this.#leave('client_stalled')
    const waiting = waitingOf(this.#running, this.#asked, { tried: this.#tried, flow })
    const ending = patienceLost(this.#deps.store.current, waiting, nowMs)
    if (ending !== null) this.#running.attempt.stop(ending)
  }

  /** Ends it now, for a reason that lies outside of it. */
  end(code: ErrorCode, detail = ''): void {
    const attempt = this.#running?.attempt
    this.#fail(code, detail)
    this.#stopWaiting()
    attempt?.abort()
  }

  async #loop(): Promise<void> {
    const { store, leases, clock } = this.#deps
    let last: Failed | null = null
    let start: Blocked | null = null
    while (!this.#over) {
      const request = routeRequest(this.#asked, this.#tried)
      const next = decide(store.current, request, (name) => leases.count(name), clock.nowMs())
      const step = { last, next, sent: this.#sent }
      const free = start !== null || follows(step, this.#asked, this.#deps)
      if (last !== null && !free) return this.#giveUp(last)
      switch (next.kind) {
        case 'forward':
          start = startFor(next.entry, this.#deps)
          if (start === null) last = await this.#try(next, last)
          else await this.#hold(start)
          break
        case 'unknown_model':
        case 'model_required':
          return this.#fail(...noModel(store.current, next))
        case 'no_route':
          return this.#fail(...noRoute(store.current, this.#asked))
        case 'exhausted':
          return last === null ? this.#fail('internal_error', '') : this.#giveUp(last)
        case 'hold':
        case 'wait_for_slot':
          await this.#hold(next)
      }
    }
  }

  /** One attempt; answers why it failed, or null when the exchange has ended with it. */
  async #try(next: Forward, last: Failed | null): Promise<Failed | null> {
    const deps = this.#deps
    const { name } = next.entry.spec
    const pool = deps.pools.get(name)
    if (last !== null) deps.emit({ type: 'failover', from: this.#upstream ?? name, why: last.why })
    this.#tried.push(name)
    this.#upstream = name
    if (pool === undefined) return stalled(name, 0)
    this.#attempts++
    const onFirstContent = (atMs: number): void => this.#firstContent(atMs)
    const mayReplay = (seen: boolean): boolean => this.#mayReplay(name, seen)
    const to = { deps, asked: this.#asked, writer: this.#writer, onFirstContent, mayReplay }
    const running = begin(next, pool, to)
    this.#running = running
    const ending = await running.attempt.done
    this.#running = null
    running.lease.release()
    return this.#afterAttempt(ending, running)
  }

  /** Once more on a fresh connection: an attempt, and one of two runs if the first may be one. */
  #mayReplay(upstream: string, seen: boolean): boolean {
    if (seen && this.#sent + 1 >= SENT_MAX) return false
    if (seen) this.#sent++
    this.#attempts++
    this.#deps.emit({ type: 'replayed', upstream })
    return true
  }

  #afterAttempt(ending: AttemptEnding, { lease, means }: Running): Failed | null {
    const { sentAt: began, streamed, cold } = lease.item
    const at = this.#deps.clock.nowMs()
    // A client that read slowly must not teach how long answers take.
    const sentAt = began + lease.pausedMs(at)
    const about = { at, sentAt, streamed, cold, work: lease.work, model: means }
    const evidence = evidenceOf(ending, about)
    if (evidence !== null) report(this.#deps, lease, evidence)
    switch (ending.kind) {
      case 'aborted':
        return null
      case 'finished':
        this.#served()
        this.#deps.budget.earn()
        this.#end()
        return null
      case 'passed':
        if (ending.answer !== null) this.#passOn(ending.answer, 'finished')
        else this.#end()
        return null
      case 'cut':
        this.#writer.cut(ending.code, ending.detail)
        this.#finish('cut', ending.code)
        return null
      case 'failed':
        if (ending.sent) this.#sent++
        this.#spent = this.#sent
        // Nothing was sent and the table knows: it may be asked again when it is back. And one that was
        // taken out has not had its turn: others may be about to take its place.
        if (ending.why === 'refused' || isReplaced(this.#deps, lease)) this.#tried.pop()
        return ending
    }
  }

  #end(): void {
    this.#writer.end()
    this.#finish('finished', null)
  }

  async #hold(why: Blocked): Promise<void> {
    const { emit, holds, store, clock } = this.#deps
    const { requestId, arrivedAt, settings } = this.#asked
    if (!this.#held) emit({ type: 'held', requestId })
    this.#held = true
    const { stop, done } = holds.wait(why, arrivedAt, settings.holdMs)
    this.#stopWaiting = stop
    const code = await done
    if (code === null) return
    const request = routeRequest(this.#asked, this.#tried)
    this.#fail(code, reasonsText(store.current, clock.nowMs(), request))
  }

  /** Nobody else can have it: the upstream's own answer where there is one, else our error. */
  #giveUp(last: Failed): void {
    if (this.#over) return
    // Two have failed on it: an SDK would send it to both of them twice more.
    if (last.why !== 'busy' && this.#sent >= SENT_MAX) this.#more = { 'x-should-retry': 'false' }
    if (last.answer === null) this.#fail(last.code, last.detail)
    else this.#passOn(last.answer, 'failed')
  }

  /** The upstream's own answer, as a frame where the head has gone out already. */
  #passOn(answer: HeldAnswer, ending: Ending): void {
    const { entries } = this.#deps.store.current
    const spec = entries.find((entry) => entry.spec.name === this.#upstream)?.spec ?? null
    const about = { asked: this.#asked, spec, length: answer.body.length }
    this.#writer.passOn(answer, { ...answerHeaders(answer, about), ...this.#more })
    this.#finish(ending, null)
  }

  #fail(code: ErrorCode, detail: string, param: string | null = null): void {
    if (this.#over) return
    const { store, clock, random } = this.#deps
    if (this.#writer.begun) this.#writer.cut(code, detail)
    else {
      // Up to half a second of its own, so that clients do not come back in step.
      const after = retryAfterMs(store.current, clock.nowMs()) + 500 * random()
      const { requestId, path, cors } = this.#asked
      const headers = { ...cors, ...this.#more }
      const about = { detail, param, retryAfterMs: after, requestId, path, headers }
      const answer = errorAnswer(code, about)
      this.#writer.answer(answer.status, answer.headers, answer.body)
    }
    this.#finish('failed', code)
  }

  /** The failovers before were no waste. */
  #served(): void {
    this.#deps.budget.giveBack(this.#spent)
    this.#spent = 0
  }

  #firstContent(atMs: number): void {
    this.#cancelCommit()
    this.#served()
    this.#ttftMs = atMs - this.#asked.arrivedAt
    this.#deps.emit({ type: 'first_content', upstream: this.#upstream ?? '', ttftMs: this.#ttftMs })
  }

  #armCommitDeadline(): void {
    const { scan, settings, arrivedAt } = this.#asked
    if (!scan.stream) return
    const { clock } = this.#deps
    this.#cancelCommit = clock.after(arrivedAt + settings.commitDeadlineMs - clock.nowMs(), () =>
      this.#writer.beginPending(pendingHeaders(this.#asked)),
    )
  }

  #leave(ending: 'client_gone' | 'client_stalled'): void {
    if (this.#over) return
    this.#finish(ending, null)
    this.#writer.destroy()
    this.#stopWaiting()
    this.#running?.attempt.abort()
  }

  /** The one ending and the one event. */
  #finish(ending: Ending, code: ErrorCode | null): void {
    this.#over = true
    this.#cancelCommit()
    this.#flow.end(this.#deps.clock)
    const { requestId, method, path, arrivedAt } = this.#asked
    this.#deps.emit({
      type: 'exchange_ended',
      requestId,
      method,
      path,
      upstream: this.#upstream,
      status: this.#response.statusCode,
      ending,
      code,
      attempts: this.#attempts,
      ttftMs: this.#ttftMs,
      durationMs: this.#deps.clock.nowMs() - arrivedAt,
      bytes: this.#writer.bytes,
      phase: this.#writer.answered ? 'after_commit' : 'before_commit',
    })
  }
}
