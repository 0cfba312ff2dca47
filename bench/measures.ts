import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Contender, Running } from './contenders.ts'
import type { Crew } from './crew.ts'
import type { Job, JobResult, Window } from './jobs.ts'
import type { Measure, Plan } from './plan.ts'
import { percentile } from './stats.ts'
import { added, type Row } from './table.ts'
import { rssMb } from './usage.ts'

/** A contender that takes part now; the direct way has no process. */
export interface Runner {
  readonly contender: Contender
  readonly running: Running | null
}

/** How busy stub and load were, in shares of the processor that they have together. */
export interface Busy {
  readonly measure: string
  readonly contender: string
  readonly share: number
}

/** Runs the measures and keeps what they say. */
export class Bench {
  readonly busy: Busy[] = []
  /** Windows with errors, in words. */
  readonly faults: string[] = []
  readonly #crew: Crew
  readonly #plan: Plan
  readonly #dir: string

  constructor(crew: Crew, plan: Plan, dir: string) {
    this.#crew = crew
    this.#plan = plan
    this.#dir = dir
  }

  /** Brings compilers into the state in which they stay. */
  async warm({ contender, running }: Runner): Promise<void> {
    if (!contender.onNode) return
    const port = running?.port ?? this.#crew.stubPort
    const window = { warmMs: this.#plan.firstWarmMs, measuredMs: 1, pids: [] }
    const { connections, streams, eventsPerStream } = this.#plan
    await this.#crew.run({ kind: 'unary', port, connections, bytes: 1_024, window })
    await this.#crew.run({ kind: 'streams', port, count: streams, events: eventsPerStream, window })
  }

  /** CPU per answer or per event, µs; all contenders in turn, round after round. */
  async cpu(measure: Measure, what: CpuWhat, runners: readonly Runner[]): Promise<Row> {
    const values = emptyValues(runners)
    for (let round = 0; round < this.#plan.rounds[measure]; round++) {
      for (const runner of runners) {
        if (runner.running === null) continue
        const cost = await this.#cpuOnce(measure, what, runner)
        values[runner.contender.name]?.push(cost)
      }
    }
    return { title: what.title, unit: 'µs CPU', values }
  }

  /** Time to the first byte on one connection: medians and tails, and what they add to direct. */
  async ttfb(measure: Measure, stream: boolean, runners: readonly Runner[]): Promise<Row[]> {
    const p50 = emptyValues(runners)
    const p99 = emptyValues(runners)
    for (let round = 0; round < this.#plan.rounds[measure]; round++) {
      for (const runner of runners) {
        const result = await this.#run(measure, runner, {
          kind: 'ttfb',
          port: this.#portOf(runner),
          stream,
          window: { ...this.#window(runner), warmMs: this.#plan.shortWarmMs },
        })
        p50[runner.contender.name]?.push(percentile(result.latenciesUs, 0.5))
        p99[runner.contender.name]?.push(percentile(result.latenciesUs, 0.99))
      }
    }
    const title = `first byte, ${stream ? 'stream' : 'unary 1 KB'}`
    return [
      { title: `${title}, p50`, unit: 'µs', values: p50 },
      { title: `${title}, p50, added to direct`, unit: 'µs', values: added(p50) },
      { title: `${title}, p99`, unit: 'µs', values: p99 },
    ]
  }

  /** What a unary request costs beside many silent streams, divided by what it costs alone. */
  async openCost(runners: readonly Runner[]): Promise<Row> {
    const values = emptyValues(runners)
    const { openStreams, rounds } = this.#plan
    const what: CpuWhat = { kind: 'unary', bytes: 1_024, title: '' }
    for (let round = 0; round < rounds['open-cost']; round++) {
      for (const runner of runners) {
        if (runner.running === null) continue
        const alone = await this.#cpuOnce('open-cost', what, runner)
        await this.#run('open-cost', runner, {
          kind: 'open',
          port: runner.running.port,
          count: openStreams,
        })
        const beside = await this.#cpuOnce('open-cost', what, runner)
        await this.#crew.run({ kind: 'release' })
        values[runner.contender.name]?.push(
          alone === null || beside === null ? null : beside / alone,
        )
      }
    }
    const title = `unary 1 KB beside ${openStreams} silent streams ÷ alone`
    return { title, unit: '', isRatio: true, values }
  }

  /** Memory of one silent stream, KB, on a fresh process that has served before. */
  async rss(contenders: readonly Contender[]): Promise<Row> {
    const { idleStreams } = this.#plan
    const values = await this.#onFresh('rss', contenders, async (runner, running) => {
      const before = rssMb(running.pid)
      await this.#run('rss', runner, { kind: 'open', port: running.port, count: idleStreams })
      await sleep(1_000)
      const after = rssMb(running.pid)
      return before === null || after === null ? null : ((after - before) * 1e3) / idleStreams
    })
    return { title: `memory per silent stream (${idleStreams})`, unit: 'KB RSS', values }
  }

  /** How much memory a large stream costs whose client reads a kilobyte a second, MB. */
  async slowReader(contenders: readonly Contender[]): Promise<Row> {
    const { floodBytes, slowMs } = this.#plan
    const values = await this.#onFresh('slow-reader', contenders, async (runner, running) => {
      const before = rssMb(running.pid)
      await this.#run('slow-reader', runner, {
        kind: 'slow',
        port: running.port,
        bytes: floodBytes,
      })
      let most = before
      for (let waited = 0; waited < slowMs; waited += 100) {
        await sleep(100)
        const now = rssMb(running.pid)
        if (now !== null && most !== null) most = Math.max(most, now)
      }
      return before === null || most === null ? null : most - before
    })
    const title = `slow reader of a ${floodBytes / 1e6} MB stream, growth`
    return { title, unit: 'MB RSS', values }
  }

  /** From the client's leaving to the close of the upstream connection, ms. */
  async abort(when: 'before_head' | 'in_stream', runners: readonly Runner[]): Promise<Row> {
    const values = emptyValues(runners)
    for (let round = 0; round < this.#plan.rounds.abort; round++) {
      for (const runner of runners) {
        this.#crew.forget()
        const { leftAtNs } = await this.#run('abort', runner, {
          kind: 'leave',
          port: this.#portOf(runner),
          when,
          afterMs: 150,
        })
        const closedAtNs = await this.#crew.closedAtNs(this.#plan.abortMsMax)
        const tookMs = closedAtNs === null ? Infinity : (closedAtNs - leftAtNs) / 1e6
        values[runner.contender.name]?.push(tookMs)
      }
    }
    const where = when === 'before_head' ? 'before the head' : 'in the stream'
    return { title: `client gone ${where} → upstream closed`, unit: 'ms', values }
  }

  async #cpuOnce(measure: Measure, what: CpuWhat, runner: Runner): Promise<number | null> {
    const port = this.#portOf(runner)
    const window = this.#window(runner)
    const { connections, streams, eventsPerStream } = this.#plan
    const job: Job =
      what.kind === 'unary'
        ? { kind: 'unary', port, connections, bytes: what.bytes, window }
        : { kind: 'streams', port, count: streams, events: eventsPerStream, window }
    const { cpu, count } = await this.#run(measure, runner, job)
    const used = runner.running === null ? null : (cpu[1] ?? null)
    return used === null || count === 0 ? null : used / count / 1_000
  }

  async #run(measure: string, { contender }: Runner, job: Job): Promise<JobResult> {
    const result = await this.#crew.run(job)
    if (result.errors > 0) {
      this.faults.push(`${measure}, ${contender.name}: ${result.errors} errors`)
    }
    const stubNs = result.cpu[0]
    if (stubNs !== null && stubNs !== undefined && result.wallNs > 0) {
      const share = (stubNs + result.ownCpuNs) / result.wallNs
      this.busy.push({ measure, contender: contender.name, share })
    }
    return result
  }

  /** One contender at a time, freshly started and a little warm. */
  async #onFresh(
    measure: string,
    contenders: readonly Contender[],
    look: (runner: Runner, running: Running) => Promise<number | null>,
  ): Promise<Record<string, (number | null)[]>> {
    const values: Record<string, (number | null)[]> = {}
    for (const contender of contenders) {
      if (contender.start === null) continue
      const running = await contender.start(this.newDir(measure), this.#crew.stubPort)
      const runner = { contender, running }
      try {
        await this.#run(measure, runner, {
          kind: 'unary',
          port: running.port,
          connections: 10,
          bytes: 1_024,
          window: { warmMs: this.#plan.warmMs, measuredMs: 1, pids: [] },
        })
        values[contender.name] = [await look(runner, running)]
      } finally {
        await this.#crew.run({ kind: 'release' })
        await running.stop()
      }
    }
    return values
  }

  newDir(name: string): string {
    return mkdtempSync(join(this.#dir, `${name}-`))
  }

  #portOf({ running }: Runner): number {
    return running?.port ?? this.#crew.stubPort
  }

  #window({ running }: Runner): Window {
    const { warmMs, windowMs } = this.#plan
    const pids = [this.#crew.stubPid, ...(running === null ? [] : [running.pid])]
    return { warmMs, measuredMs: windowMs, pids }
  }
}

/** What a CPU measure sends. */
export interface CpuWhat {
  readonly kind: 'unary' | 'sse'
  readonly bytes: number
  readonly title: string
}

function emptyValues(runners: readonly Runner[]): Record<string, (number | null)[]> {
  return Object.fromEntries(runners.map(({ contender }) => [contender.name, []]))
}
