import type { FlightItem } from '../../src/core/health/evidence.ts'
import { decide, mayAbandon, type RouteDecision } from '../../src/core/route.ts'
import type { AnswerWriter } from '../../src/proxy/answer/answer-writer.ts'
import { type ProxyDeps, report } from '../../src/proxy/deps.ts'
import {
  type AttemptEnding,
  evidenceOf,
  type Failed,
  mayFollow,
  stalled,
} from '../../src/core/exchange/ending.ts'
import type { Lease } from '../../src/proxy/leases.ts'
import { ClientSink } from '../../src/proxy/answer/sink.ts'
import type { Watch } from '../../src/proxy/watch.ts'
import type { Engine, JobFailure, JobWish } from './sim-engine.ts'

/** A request as a simulated client sends it. */
export interface SimRequest extends JobWish {
  /** Told to the gate; null: not named. */
  readonly maxTokens: number | null
  /** The client leaves after this much silence, ms. */
  readonly patienceMs: number
}

export type SimEnding = 'finished' | 'cut' | 'client_gone' | 'failed'

export interface PlaneEars {
  onForward(next: Forward, tried: readonly string[], request: SimRequest): void
  onEnd(request: SimRequest, ending: SimEnding, code: string | null): void
}

export interface PlaneDeps {
  readonly proxy: ProxyDeps
  readonly watch: Watch
  readonly engineAt: (url: string) => Engine | undefined
  readonly holdMs: number
  readonly ears: PlaneEars
}

export type Forward = Extract<RouteDecision, { kind: 'forward' }>

const FAILURES: Readonly<Record<JobFailure, Failed>> = {
  refused: failed('refused', false),
  unreachable: failed('unreachable', false),
  http_5xx: failed('http_5xx', true),
  error_body: failed('error_body', true),
  truncated: failed('truncated', true),
  reset: failed('reset', true),
  busy: failed('busy', true),
  loading: failed('busy', true),
}

function failed(why: Failed['why'], sent: boolean): Failed {
  return { kind: 'failed', why, code: 'upstream_error', detail: why, sent, answer: null }
}

const gone = (): void => {}

/** One client request: `src/proxy/exchange.ts` without sockets, over its real books, watch, sink
 *  and rules, so that it reports the same evidence at the same time. */
export class SimExchange {
  readonly #deps: PlaneDeps
  readonly #request: SimRequest
  readonly #arrivedAt: number
  readonly #tried: string[] = []
  #running: { lease: Lease; committed: boolean; stop: (ending: AttemptEnding) => void } | null =
    null
  #sent = 0
  #over = false
  #stopWaiting = (): void => {}
  #cancelPatience = (): void => {}

  constructor(deps: PlaneDeps, request: SimRequest) {
    this.#deps = deps
    this.#request = request
    this.#arrivedAt = deps.proxy.clock.nowMs()
  }

  async run(): Promise<void> {
    const { proxy, watch } = this.#deps
    proxy.store.apply({ type: 'client_active', at: this.#arrivedAt })
    watch.add(this)
    this.#beSilent()
    try {
      await this.#loop()
    } finally {
      this.#cancelPatience()
      watch.remove(this)
    }
  }

  tick(nowMs: number): void {
    if (this.#running === null) return
    const { lease, committed, stop } = this.#running
    const table = this.#deps.proxy.store.current
    const entry = table.entries.find(({ spec }) => spec.name === lease.upstream)
    const wedged = entry?.epoch === lease.epoch && entry.reason === 'wedged'
    const silentMs = nowMs - (lease.item.contentAt ?? lease.item.sentAt)
    if (committed) {
      if (!wedged || silentMs < table.config.health.detectWithinMs) return
      return stop({ kind: 'cut', code: 'upstream_stalled', detail: '' })
    }
    const asked = { model: null, tried: this.#tried }
    if (wedged || mayAbandon(table, lease.upstream, { request: asked, item: lease.item, nowMs })) {
      stop(stalled(lease.upstream, silentMs))
    }
  }

  /** The client leaves, or the gate ends. */
  leave(): void {
    if (this.#over) return
    this.#finish('client_gone', null)
    this.#stopWaiting()
    this.#running?.stop({ kind: 'aborted' })
  }

  async #loop(): Promise<void> {
    const { proxy, holdMs } = this.#deps
    let last: Failed | null = null
    while (!this.#over) {
      const asked = { model: null, tried: this.#tried }
      const next = decide(proxy.store.current, asked, (name) => proxy.leases.count(name))
      if (last !== null && !mayFollow(last, next, this.#sent)) {
        return this.#finish('failed', last.code)
      }
      switch (next.kind) {
        case 'forward':
          last = await this.#try(next)
          break
        case 'unknown_model':
        case 'model_required':
        case 'no_route':
        case 'exhausted':
          return this.#finish('failed', next.kind)
        case 'hold':
        case 'wait_for_slot': {
          const waiting = proxy.holds.wait(next, this.#arrivedAt, holdMs)
          this.#stopWaiting = waiting.stop
          const code = await waiting.done
          if (code !== null) this.#finish('failed', code)
        }
      }
    }
  }

  async #try(next: Forward): Promise<Failed | null> {
    const { proxy, ears } = this.#deps
    const { name } = next.entry.spec
    ears.onForward(next, [...this.#tried], this.#request)
    this.#tried.push(name)
    const lease = proxy.leases.take(name, next.entry.epoch, this.#item(next))
    const ending = await this.#attempt(next, lease)
    this.#running = null
    lease.release()
    const at = proxy.clock.nowMs()
    const { sentAt, streamed, cold } = lease.item
    const evidence = evidenceOf(ending, {
      at,
      sentAt,
      streamed,
      cold,
      work: lease.work,
      model: next.means,
    })
    if (evidence !== null) report(proxy, lease, evidence)
    switch (ending.kind) {
      case 'aborted':
      case 'passed':
        return null
      case 'finished':
      case 'cut':
        this.#finish(ending.kind, ending.kind === 'cut' ? ending.code : null)
        return null
      case 'failed':
        if (ending.sent) this.#sent++
        if (ending.why === 'refused') this.#tried.pop()
        return ending
    }
  }

  #attempt({ entry: { spec }, means }: Forward, lease: Lease): Promise<AttemptEnding> {
    const { proxy, engineAt } = this.#deps
    const sink = new ClientSink({
      deps: proxy,
      lease,
      means,
      // The sink writes through it; what is only measured here never is.
      writer: null as unknown as AnswerWriter,
      headFor: () => ({}),
      onFirstContent: () => {},
    })
    return new Promise((resolve) => {
      const engine = engineAt(spec.url)
      let leave = gone
      const stop = (ending: AttemptEnding): void => {
        leave()
        resolve(ending)
      }
      const running = { lease, committed: false, stop }
      this.#running = running
      leave =
        engine?.submit(this.#request, {
          token: () => {
            running.committed = true
            this.#beSilent()
            sink.content(1)
          },
          end: () => stop({ kind: 'finished' }),
          fail: (why) =>
            stop(
              running.committed
                ? { kind: 'cut', code: 'upstream_truncated', detail: why }
                : FAILURES[why],
            ),
        }) ?? leave
    })
  }

  #item({ serves }: Forward): FlightItem {
    const { bytes, streamed, maxTokens } = this.#request
    const sentAt = this.#deps.proxy.clock.nowMs()
    return { sentAt, bytes, streamed, contentAt: null, maxTokens, cold: serves === 'on_demand' }
  }

  #beSilent(): void {
    this.#cancelPatience()
    const { clock } = this.#deps.proxy
    this.#cancelPatience = clock.after(this.#request.patienceMs, () => this.leave())
  }

  #finish(ending: SimEnding, code: string | null): void {
    if (this.#over) return
    this.#over = true
    this.#cancelPatience()
    this.#deps.ears.onEnd(this.#request, ending, code)
  }
}
