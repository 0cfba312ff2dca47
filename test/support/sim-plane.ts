import type { ServerResponse } from 'node:http'
import type {
  AttemptEnding,
  ExchangeEffect,
  Failed,
  HeldAnswer,
  Summary,
} from '../../src/core/exchange/exchange.ts'
import { removed } from '../../src/core/exchange/ending.ts'
import { type AnswerWriter, ClientFlow, ClientSink } from '../../src/proxy/answer/writer.ts'
import type { ProxyDeps } from '../../src/proxy/deps.ts'
import { type Deed, Drive } from '../../src/proxy/drive.ts'
import type { Lease } from '../../src/proxy/leases.ts'
import type { Watch } from '../../src/proxy/exchange.ts'
import type { Engine, JobFailure, JobWish } from './sim-engine.ts'

/** A request as a simulated client sends it. */
export interface SimRequest extends JobWish {
  /** Told to the gate; null: not named. */
  readonly maxTokens: number | null
  /** The client leaves after this much silence, ms. */
  readonly patienceMs: number
  /** Takes nothing from its first content on; absent: it reads. */
  readonly stuck?: boolean
}

export type SimEnding = Summary['ending']
export type Send = Extract<ExchangeEffect, { type: 'send' }>

export interface PlaneEars {
  /** `tried`: those that have had their turn. */
  onSend(send: Send, tried: readonly string[]): void
  onEnd(summary: Summary, told: Told): void
}

/** What really happened to a request. */
export interface Told {
  /** What was done for it, in order. */
  readonly deeds: readonly Deed['type'][]
  /** Engines that took it. */
  readonly seen: number
  /** Was it taken from an upstream that is not configured any more? */
  readonly taken: boolean
}

export interface PlaneDeps {
  readonly proxy: ProxyDeps
  readonly watch: Watch
  readonly engineAt: (url: string) => Engine | undefined
  readonly holdMs: number
  readonly commitDeadlineMs: number
  readonly ears: PlaneEars
}

/** How each failure of an engine ends an attempt; what `upstream/failed.ts` makes of its answer. */
const FAILURES: Readonly<Record<JobFailure, Failed>> = {
  refused: failed('refused', { sent: false, code: 'upstream_unreachable' }),
  unreachable: failed('unreachable', { sent: false, code: 'upstream_unreachable' }),
  http_5xx: failed('http_5xx', { answer: answerOf(500) }),
  error_body: failed('error_body'),
  truncated: failed('truncated', { code: 'upstream_truncated' }),
  reset: failed('reset', { code: 'upstream_unreachable' }),
  busy: failed('busy', { answer: answerOf(503) }),
  loading: failed('busy', { answer: answerOf(503) }),
}

function failed(why: Failed['why'], over: Partial<Failed> = {}): Failed {
  const code = 'upstream_error'
  return { kind: 'failed', why, code, detail: why, sent: true, answer: null, ...over }
}

function answerOf(status: number): HeldAnswer {
  return { status, headers: {}, body: Buffer.from('{}') }
}

/** What ends an attempt at an upstream that was taken out. */
const TAKEN = removed('')

/** A client that takes all that comes, and one that takes nothing. */
const READER = { writableLength: 0, writableNeedDrain: false, destroyed: true }
const STUCK = { ...READER, writableLength: 1, writableNeedDrain: true }

/** One client request: the hands of `core/exchange` over simulated engines. It decides nothing. */
export class SimExchange {
  readonly #deps: PlaneDeps
  readonly #request: SimRequest
  readonly #drive: Drive
  readonly #flow: ClientFlow
  readonly #deeds: Deed['type'][] = []
  readonly #arrivedAt: number
  #written = 0
  #seen = 0
  #taken = false
  #stop: (ending: AttemptEnding) => void = () => {}
  #cancels: (() => void)[] = []
  #cancelPatience = (): void => {}

  constructor(deps: PlaneDeps, request: SimRequest) {
    this.#deps = deps
    this.#request = request
    this.#arrivedAt = deps.proxy.clock.nowMs()
    const { bytes, streamed, maxTokens, stuck = false } = request
    this.#flow = new ClientFlow((stuck ? STUCK : READER) as unknown as ServerResponse)
    const wish = {
      requestId: '',
      path: '/v1/chat/completions',
      arrivedAt: this.#arrivedAt,
      wants: { model: null, work: 'generation' },
      size: { bytes, streamed, maxTokens },
      replay: true,
      judged: true,
      holdMs: deps.holdMs,
      commitAt: streamed ? this.#arrivedAt + deps.commitDeadlineMs : null,
    } as const
    this.#drive = new Drive(deps.proxy, wish, (deed, lease) => this.#do(deed, lease))
  }

  async run(): Promise<void> {
    const { proxy, watch, commitDeadlineMs } = this.#deps
    proxy.store.apply({ type: 'client_active', at: this.#arrivedAt })
    watch.add(this)
    this.#beSilent()
    if (this.#request.streamed) {
      const due = (): unknown => this.#drive.tell({ type: 'commit_due' })
      this.#cancels.push(proxy.clock.after(commitDeadlineMs, due))
    }
    this.#drive.tell({ type: 'decide' })
    await this.#drive.ended
    this.#cancelPatience()
    for (const cancel of this.#cancels) cancel()
    watch.remove(this)
  }

  tick(nowMs: number): void {
    this.#drive.look(this.#flow.look(nowMs, this.#written))
  }

  /** The client leaves, or the gate ends. */
  leave(): void {
    this.#drive.tell({ type: 'client_gone' })
  }

  #do(deed: Deed, lease: Lease | null): void {
    this.#deeds.push(deed.type)
    if (deed.type === 'send' && lease !== null) this.#send(deed, lease)
    if (deed.type === 'abandon') {
      const { ending } = deed
      this.#taken ||= ending.kind === 'failed' && ending.code === TAKEN.code
      this.#stop(ending)
    }
    if (deed.type === 'over') {
      this.#deps.ears.onEnd(deed.summary, {
        deeds: this.#deeds,
        seen: this.#seen,
        taken: this.#taken,
      })
    }
  }

  #send(send: Send, lease: Lease): void {
    const { proxy, engineAt, ears } = this.#deps
    const drive = this.#drive
    ears.onSend(send, drive.state.tried.slice(0, -1))
    const sink = new ClientSink({
      deps: proxy,
      lease,
      means: send.means,
      writer: { commit: () => {} } as unknown as AnswerWriter,
      headFor: () => ({}),
      onCommit: () => drive.tell({ type: 'committed' }),
      onFirstContent: () => drive.tell({ type: 'first_content' }),
    })
    const running = { committed: false, over: false, leave: (): void => {} }
    const stop = (ending: AttemptEnding): void => {
      if (running.over) return
      running.over = true
      running.leave()
      void Promise.resolve(ending).then((how) => drive.attemptEnded(how))
    }
    this.#stop = stop
    const engine = engineAt(send.entry.spec.url)
    if (engine === undefined) return stop({ ...removed(lease.upstream), sent: false })
    this.#seen++
    running.leave = engine.submit(this.#request, {
      token: () => {
        if (this.#request.stuck !== true) this.#written++
        this.#beSilent()
        sink.content(1)
        if (!running.committed) sink.commit({ status: 200, headers: {} }, null)
        running.committed = true
      },
      end: () => stop({ kind: 'finished' }),
      fail: (why) => {
        if (!FAILURES[why].sent) this.#seen--
        const cut = { kind: 'cut', code: 'upstream_truncated', detail: why } as const
        stop(running.committed ? cut : FAILURES[why])
      },
    })
  }

  #beSilent(): void {
    this.#cancelPatience()
    const { clock } = this.#deps.proxy
    this.#cancelPatience = clock.after(this.#request.patienceMs, () => this.leave())
  }
}
