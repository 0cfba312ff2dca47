import type { GateEvent } from '../../src/core/event.ts'
import type { ProbeOutcome } from '../../src/core/health/evidence.ts'
import type { TableConfig } from '../../src/core/table.ts'
import type { UpstreamSpec } from '../../src/core/upstream.ts'
import { Prober } from '../../src/probe/prober.ts'
import type { FetchCall, Fetched } from '../../src/probe/wire.ts'
import type { ProbeCall, Wire } from '../../src/probe/generate.ts'
import { TableStore } from '../../src/state/table-store.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { tableConfig } from '../support/world.ts'

/** What the fake network does with a generation: an outcome after some time, or never one. */
export type Play = { readonly afterMs: number; readonly outcome: ProbeOutcome } | 'hang'

export const PASS: ProbeOutcome = { kind: 'pass', latencyMs: 20, tokens: 1 }

/** The network of a prober under the virtual clock. Time limits and abort work as in `run.ts`. */
export class FakeWire implements Wire {
  readonly probes: ProbeCall[] = []
  readonly gets: FetchCall[] = []
  inFlight = 0
  mostInFlight = 0
  /** How the next generation goes, by the call; may be replaced at any time. */
  play: (call: ProbeCall) => Play = () => ({ afterMs: 20, outcome: PASS })
  /** How every generation goes from now on. */
  plays(outcome: ProbeOutcome, afterMs = 20): void {
    this.play = () => ({ afterMs, outcome })
  }

  /** How the next GET goes. `hang` ends `silent`. */
  answer: (path: string) => Fetched | 'hang' = () => models('m')
  /** Does a request go out at once? Else the test calls `onSent` itself. */
  sendsAtOnce = true
  /** Ends the generation that hangs. */
  release: (outcome: ProbeOutcome) => void = () => {}

  readonly probe = (call: ProbeCall): Promise<ProbeOutcome> => {
    this.probes.push(call)
    this.inFlight++
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight)
    const play = this.play(call)
    if (this.sendsAtOnce) call.onSent()
    return new Promise((resolve) => {
      const end = (outcome: ProbeOutcome): void => {
        for (const cancel of cancels) cancel()
        call.signal.removeEventListener('abort', leave)
        this.inFlight--
        resolve(outcome)
      }
      const leave = (): void => end({ kind: 'inconclusive', detail: 'ABORTED' })
      call.signal.addEventListener('abort', leave)
      const limit: ProbeOutcome = { kind: 'timeout', limitMs: call.limitMs }
      const cancels = [call.clock.after(call.limitMs, () => end(limit))]
      if (play !== 'hang') cancels.push(call.clock.after(play.afterMs, () => end(play.outcome)))
      else this.release = end
    })
  }

  readonly get = (call: FetchCall): Promise<Fetched> => {
    this.gets.push(call)
    const answer = this.answer(call.path)
    if (answer !== 'hang') return Promise.resolve(answer)
    return new Promise((resolve) => {
      const end = (): void => {
        cancel()
        call.signal.removeEventListener('abort', end)
        resolve({ kind: 'silent' })
      }
      const cancel = call.clock.after(call.limitMs, end)
      call.signal.addEventListener('abort', end)
    })
  }
}

/** What a GET is answered. */
export const body = (content: unknown, status = 200): Fetched => ({
  kind: 'answer',
  status,
  body: content,
})
export const REFUSED: Fetched = { kind: 'broken', code: 'ECONNREFUSED', phase: 'connect' }

/** A model list as an answer. */
export const models = (...names: string[]): Fetched => body({ data: names.map((id) => ({ id })) })

/** Ollama's `/api/ps` as an answer. */
export const loaded = (...names: string[]): Fetched =>
  body({ models: names.map((name) => ({ name })) })

export function fail(reason: Extract<ProbeOutcome, { kind: 'fail' }>['reason']): ProbeOutcome {
  return { kind: 'fail', reason, detail: 'x' }
}

export function config(...specs: UpstreamSpec[]): TableConfig {
  return tableConfig({ specs })
}

/** A whole control plane under the virtual clock, not started. `end` stops it and finds leaks. */
export class Stage {
  readonly clock = new VirtualClock()
  readonly wire = new FakeWire()
  readonly events: GateEvent[] = []
  readonly store: TableStore
  readonly prober: Prober

  constructor(...specs: UpstreamSpec[]) {
    this.store = new TableStore(config(...specs), () => this.clock.nowMs())
    this.prober = new Prober({
      store: this.store,
      clock: this.clock,
      random: () => 0.5,
      emit: (event) => this.events.push(event),
      keyOf: () => null,
      connectTimeoutMs: () => 1_000,
      probeMaxTokens: () => 1,
      wire: this.wire,
    })
  }

  reason(name = 'a'): string | undefined {
    return this.entry(name)?.reason
  }

  entry(name = 'a') {
    return this.store.current.entries.find((entry) => entry.spec.name === name)
  }

  /** Clients are active from now on; call it at least once a minute. */
  active(): void {
    this.store.apply({ type: 'client_active', at: this.clock.nowMs() })
  }

  /** A token on a stream that was already delivering. */
  progress(name = 'a'): void {
    const epoch = this.entry(name)?.epoch ?? 0
    const at = this.clock.nowMs()
    const evidence = { type: 'progress', at, gapMs: 100 } as const
    this.store.apply({ type: 'evidence', name, epoch, evidence })
  }

  /** A request of a client fails there. */
  fails(failure: 'http_5xx' | 'refused' | 'reset'): void {
    const evidence = { type: 'live_failure', at: this.clock.nowMs(), failure } as const
    this.store.apply({ type: 'evidence', name: 'a', epoch: this.entry()?.epoch ?? 0, evidence })
  }

  models(name = 'a'): string[] | undefined {
    return this.entry(name)?.facts.models?.map(({ id }) => id)
  }

  configure(...specs: UpstreamSpec[]): void {
    this.store.apply({ type: 'configured', at: this.clock.nowMs(), config: config(...specs) })
  }

  outcomes(): string[] {
    return this.events.flatMap((event) => (event.type === 'probe_ended' ? [event.outcome] : []))
  }
}
