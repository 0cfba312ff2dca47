import type { ServerResponse } from 'node:http'
import type { EndCode, Summary, Wish } from '../core/exchange/exchange.ts'
import { removed } from '../core/exchange/ending.ts'
import { endRuleOf } from '../core/health/facts.ts'
import { errorWordsOf, workOf } from '../api/index.ts'
import { ENGINES_WITH } from '../engines/index.ts'
import { errorAnswer } from '../errors/answer.ts'
import { AnswerWriter, ClientFlow, ClientSink } from './answer/writer.ts'
import type { Asked, ProxyDeps } from './deps.ts'
import { type Deed, Drive, report } from './drive.ts'
import type { Lease } from './leases.ts'
import { Attempt } from './upstream/attempt.ts'
import { answerHeaders, attemptInput, pendingHeaders } from './upstream/headers.ts'
import { NO_FLIGHT } from '../core/health/evidence.ts'

type Doing<T extends Deed['type']> = Extract<Deed, { type: T }>

/**
 * One client request: the hands of `core/exchange`, which decides all that happens to it. It sends,
 * writes and tells what comes; one ending, one event.
 */
export class Exchange {
  readonly #deps: ProxyDeps
  readonly #asked: Asked
  readonly #response: ServerResponse
  readonly #writer: AnswerWriter
  readonly #flow: ClientFlow
  readonly #drive: Drive
  readonly #commitAt: number | null
  #attempt: Attempt | null = null
  #cancelCommit = (): void => {}

  constructor(deps: ProxyDeps, asked: Asked, response: ServerResponse) {
    this.#deps = deps
    this.#asked = asked
    this.#response = response
    this.#flow = new ClientFlow(response)
    this.#writer = new AnswerWriter(response, deps.clock, asked.lane.api)
    const wish = wishOf(asked)
    this.#commitAt = wish.commitAt
    this.#drive = new Drive(deps, wish, (deed, lease) => this.#do(deed, lease))
  }

  /** Resolves after the end. Never rejects for an expected ending. */
  async run(): Promise<void> {
    const drive = this.#drive
    this.#response.on('close', () => drive.tell({ type: 'client_gone' }))
    if (this.#response.destroyed) drive.tell({ type: 'client_gone' })
    this.#armCommitDeadline()
    drive.tell({ type: 'decide' })
    try {
      await drive.ended
    } finally {
      this.#cancelCommit()
      drive.release()
    }
  }

  /** Called by the watch while it runs. */
  tick(nowMs: number): void {
    if (this.#drive.state.now.kind === 'trying')
      this.#drive.look(this.#flow.look(nowMs, this.#writer.bytes))
  }

  /** Ends it now, for a reason that lies outside of it. */
  end(code: EndCode, detail = ''): void {
    this.#drive.tell({ type: 'stop', code, detail })
  }

  #armCommitDeadline(): void {
    if (this.#commitAt === null) return
    const { clock } = this.#deps
    this.#cancelCommit = clock.after(this.#commitAt - clock.nowMs(), () =>
      this.#drive.tell({ type: 'commit_due' }),
    )
  }

  #do(deed: Deed, lease: Lease | null): void {
    switch (deed.type) {
      case 'send':
        return this.#send(deed, lease)
      case 'replay':
        // The attempt asks, and does it.
        return
      case 'abandon':
        return this.#attempt?.stop(deed.ending)
      case 'commit_pending':
        return this.#writer.beginPending(pendingHeaders(this.#asked))
      case 'answer':
        return this.#answer(deed)
      case 'pass_on':
        return this.#passOn(deed)
      case 'end':
        return this.#writer.end()
      case 'cut':
        return this.#writer.cut(deed.code, deed.detail)
      case 'hang_up':
        return this.#writer.destroy()
      case 'over':
        return this.#over(deed.summary)
    }
  }

  /** Starts one attempt at the upstream that was decided on: connection and sink. */
  #send({ entry, model, means, mapped }: Doing<'send'>, lease: Lease | null): void {
    const deps = this.#deps
    const asked = this.#asked
    const writer = this.#writer
    const drive = this.#drive
    const { spec } = entry
    const pool = deps.pools.get(spec.name)
    if (lease === null || pool === undefined) {
      return drive.attemptEnded({ ...removed(spec.name), sent: false })
    }
    const sink = new ClientSink({
      deps,
      lease,
      means,
      writer,
      onCommit: () => drive.tell({ type: 'committed' }),
      onFirstContent: () => drive.tell({ type: 'first_content' }),
      headFor: (head, length) => answerHeaders(head, asked, spec, length),
    })
    const input = attemptInput(deps, asked, {
      pool,
      model,
      mapped,
      pending: () => writer.pending,
      mayReplay: (seen) => drive.tell({ type: 'died', seen }).some(({ type }) => type === 'replay'),
      endRule: endRuleOf(spec, entry.facts),
      onEndSign: (by) => {
        report(deps, lease, { type: 'stream_end', at: deps.clock.nowMs(), by })
      },
    })
    const attempt = new Attempt(input, sink)
    sink.attach(attempt)
    this.#attempt = attempt
    void attempt.done.then((ending) => drive.attemptEnded(ending))
  }

  /** An error of the gate's own. */
  #answer({ code, detail, param, retryAfterMs, headers: more }: Doing<'answer'>): void {
    const { requestId, path, cors } = this.#asked
    const headers = { ...cors, ...more }
    const words = errorWordsOf(path)
    const about = { detail, param, retryAfterMs, requestId, words, headers }
    const answer = errorAnswer(code, about)
    this.#writer.answer(answer.status, answer.headers, answer.body)
  }

  /** The upstream's own answer, as a frame where the head has gone out already. */
  #passOn({ answer, upstream, headers }: Doing<'pass_on'>): void {
    const { entries } = this.#deps.store.current
    const spec = entries.find((entry) => entry.spec.name === upstream)?.spec ?? null
    const own = answerHeaders(answer, this.#asked, spec, answer.body.length)
    this.#writer.passOn(answer, { ...own, ...headers })
  }

  #over(summary: Summary): void {
    this.#cancelCommit()
    this.#flow.end(this.#deps.clock)
    const { requestId, method, path } = this.#asked
    const { statusCode: status } = this.#response
    const { upstream, ending, code, attempts, ttftMs, durationMs, phase } = summary
    this.#deps.emit({
      type: 'exchange_ended',
      // A line of the log has its fields in this order.
      requestId,
      method,
      path,
      upstream,
      status,
      ending,
      code,
      attempts,
      ttftMs,
      durationMs,
      bytes: this.#writer.bytes,
      phase,
    })
  }
}

/** What decides about a request, of all that was read of it. */
function wishOf({ requestId, path, arrivedAt, lane, scan, body, only, settings }: Asked): Wish {
  const { api, route, replay } = lane
  const { stream, maxTokens } = scan
  return {
    requestId,
    path,
    arrivedAt,
    wants: {
      model: scan.model?.value ?? null,
      exact: api === null,
      able: route === null ? undefined : ENGINES_WITH.get(route),
      only: only ?? undefined,
      work: workOf(route),
    },
    size: { bytes: body.length, streamed: stream, maxTokens },
    replay,
    judged: api !== null,
    holdMs: settings.holdMs,
    commitAt: stream ? arrivedAt + settings.commitDeadlineMs : null,
  }
}

/** How often what is in flight is looked at, ms: a fraction of any deadline. */
const LOOK_MS = 200

/**
 * Looks at what is in flight while anything is: tells the table (so that silence becomes evidence)
 * and asks each exchange whether it should move on. Costs nothing while nothing is in flight.
 */
export class Watch {
  readonly #deps: ProxyDeps
  readonly #running = new Set<{ tick(nowMs: number): void }>()
  readonly #epochs = new Map<string, number>()
  #cancel: (() => void) | null = null

  constructor(deps: ProxyDeps) {
    this.#deps = deps
  }

  add(exchange: { tick(nowMs: number): void }): void {
    this.#running.add(exchange)
    this.#cancel ??= this.#deps.clock.after(LOOK_MS, () => this.#look())
  }

  remove(exchange: { tick(nowMs: number): void }): void {
    this.#running.delete(exchange)
    if (this.#running.size === 0) this.#rest()
  }

  close(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  #look(): void {
    this.#cancel = this.#deps.clock.after(LOOK_MS, () => this.#look())
    const nowMs = this.#deps.clock.nowMs()
    this.#deps.store.apply({ type: 'client_active', at: nowMs })
    this.#publish(nowMs)
    for (const exchange of this.#running) exchange.tick(nowMs)
  }

  /** Nothing is in flight any more: say so once, then sleep. */
  #rest(): void {
    this.close()
    this.#publish(this.#deps.clock.nowMs())
  }

  #publish(at: number): void {
    const { store, leases } = this.#deps
    for (const { spec, epoch } of store.current.entries) {
      const flight = leases.flight(spec.name)
      const known = this.#epochs.get(spec.name) === epoch
      if (flight.inFlight === 0 && !known) continue
      if (flight.inFlight === 0) this.#epochs.delete(spec.name)
      else this.#epochs.set(spec.name, epoch)
      const evidence = {
        type: 'flight',
        at,
        flight: flight.inFlight === 0 ? NO_FLIGHT : flight,
      } as const
      store.apply({ type: 'evidence', name: spec.name, epoch, evidence })
    }
  }
}
