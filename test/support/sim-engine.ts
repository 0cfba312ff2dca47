import type { SimClock } from './sim-clock.ts'
import type { EngineTraits, Fault, JobEars, JobFailure, JobWish } from './sim-job.ts'

export type * from './sim-job.ts'

interface Job {
  readonly wish: JobWish
  readonly ears: JobEars
  left: number
  /** Cancels its next step. */
  stop: () => void
  /** Goes on where the freeze stopped it. */
  parked: (() => void) | null
  gone: boolean
}

const FREEZES: ReadonlySet<Fault> = new Set([
  'silent',
  'one_token',
  'two_tokens',
  'slow_wedge',
  'busy_wedge',
  'unreachable',
  'gone',
])
const CONNECT_TIMEOUT_MS = 1_000
/** What an engine takes to say no, ms. */
const NO_MS = 5

/** An engine as a queue with slots: one job after the other gets a slot, is read in, then decoded. */
export class Engine {
  readonly traits: EngineTraits
  readonly #clock: SimClock
  readonly #random: () => number
  #fault: Fault = 'none'
  #queue: Job[] = []
  readonly #running = new Set<Job>()
  #loaded: boolean
  #stopLoad: (() => void) | null = null
  #stopKeep = (): void => {}
  /** Big jobs that it was asked for, for the ledger of slow prefills. */
  readonly asked: JobWish[] = []
  onFault: (fault: Fault) => void = () => {}

  constructor(clock: SimClock, random: () => number, traits: EngineTraits) {
    this.#clock = clock
    this.#random = random
    this.traits = traits
    this.#loaded = traits.loadMs === null
  }

  get fault(): Fault {
    return this.#fault
  }

  get loaded(): boolean {
    return this.#loaded
  }

  get running(): number {
    return this.#running.size
  }

  /** `restart`: what was in flight is lost; otherwise a frozen engine thaws and goes on. */
  become(fault: Fault, restart = false): void {
    if (fault === this.#fault && !restart) return
    this.#fault = fault
    this.onFault(fault)
    const dies = fault === 'refused' || fault === 'http_5xx' || fault === 'loading'
    if (restart || dies) this.#loseAll()
    if (FREEZES.has(fault)) return
    for (const job of this.#running) {
      const { parked } = job
      job.parked = null
      parked?.()
    }
    this.#pump()
  }

  /** One request; the returned function is the client leaving. */
  submit(wish: JobWish, ears: JobEars): () => void {
    this.asked.push(wish)
    const job: Job = { wish, ears, left: wish.tokens, stop: () => {}, parked: null, gone: false }
    const no = this.#refusal(wish)
    if (no !== null) {
      const ms = no === 'unreachable' ? CONNECT_TIMEOUT_MS : no === 'refused' ? 1 : NO_MS
      job.stop = this.#clock.world(ms, () => this.#tell(job, () => ears.fail(no)))
    } else {
      this.#stopKeep()
      this.#queue.push(job)
      this.#load()
      this.#pump()
    }
    return () => this.#leave(job)
  }

  /** The connections of all that runs are lost on the way: neither side hears of it. */
  loseStreams(): void {
    for (const job of this.#running) job.gone = true
  }

  #refusal({ tokens }: JobWish): JobFailure | null {
    const full = this.traits.queueMax !== null && this.#queue.length >= this.traits.queueMax
    const fault = this.#fault
    if (fault === 'busy_wedge') return 'busy'
    if (fault === 'refused' || fault === 'unreachable') return fault
    if (fault === 'gone' || fault === 'closing') return 'refused'
    if (fault === 'live_5xx' && tokens > 1) return 'http_5xx'
    if (fault === 'http_5xx' || fault === 'loading') return fault
    return full && this.#running.size >= this.traits.slots ? 'busy' : null
  }

  #load(): void {
    if (this.#loaded || this.#stopLoad !== null || this.traits.loadMs === null) return
    this.#stopLoad = this.#clock.world(this.traits.loadMs, () => {
      this.#stopLoad = null
      this.#loaded = true
      this.#pump()
    })
  }

  #pump(): void {
    while (this.#loaded && this.#running.size < this.traits.slots) {
      const job = this.#queue[0]
      if (job === undefined || this.#fault === 'silent' || this.#fault === 'busy_wedge') return
      this.#queue.shift()
      this.#running.add(job)
      const readMs = (job.wish.bytes / this.traits.prefillBytesPerS) * 1_000
      this.#later(job, this.traits.baseMs + readMs, () => this.#token(job))
    }
  }

  /** The next step of a job, which a freeze delays to its end. */
  #later(job: Job, ms: number, step: () => void): void {
    job.stop = this.#clock.world(ms, () => {
      if (FREEZES.has(this.#fault) && !this.#passesFreeze(job)) job.parked = step
      else step()
    })
  }

  #passesFreeze({ wish, left }: Job): boolean {
    if (this.#fault === 'slow_wedge' && wish.tokens === 1) return true
    if (!wish.streamed) return false
    if (this.#fault === 'two_tokens') return left >= wish.tokens - 1
    const first = left === wish.tokens
    return (this.#fault === 'slow_wedge' || this.#fault === 'one_token') && first
  }

  #token(job: Job): void {
    job.left--
    const { ears, wish } = job
    const given = wish.tokens - job.left
    if (this.#fault === 'error_body') return this.#finish(job, () => ears.fail('error_body'))
    if (this.#fault === 'truncating' && (given >= 3 || job.left === 0)) {
      return this.#finish(job, () => ears.fail('truncated'))
    }
    if (this.#fault === 'reset' && (given >= 3 || job.left === 0)) {
      return this.#finish(job, () => ears.fail('reset'))
    }
    if (wish.streamed) this.#tell(job, () => ears.token())
    if (job.left === 0) return this.#finish(job, () => ears.end())
    this.#later(job, this.traits.itlMs * (0.6 + 0.8 * this.#random()), () => this.#token(job))
  }

  #finish(job: Job, last: () => void): void {
    this.#tell(job, last)
    this.#running.delete(job)
    this.#pump()
    this.#rest()
  }

  #tell(job: Job, task: () => void): void {
    this.#clock.io(() => {
      if (!job.gone) task()
    })
  }

  #leave(job: Job): void {
    if (job.gone) return
    job.gone = true
    job.stop()
    this.#running.delete(job)
    this.#queue = this.#queue.filter((other) => other !== job)
    // Ollama ends a load that nobody waits for (`server/sched.go` of ollama/ollama).
    if (this.#queue.length === 0) {
      this.#stopLoad?.()
      this.#stopLoad = null
    }
    this.#pump()
    this.#rest()
  }

  #rest(): void {
    this.#stopKeep()
    if (this.traits.loadMs === null || this.#running.size + this.#queue.length > 0) return
    this.#stopKeep = this.#clock.world(this.traits.keepMs, () => {
      this.#loaded = false
    })
  }

  #loseAll(): void {
    const lost = [...this.#running, ...this.#queue]
    this.#running.clear()
    this.#queue = []
    this.#stopLoad?.()
    this.#stopLoad = null
    this.#loaded = this.traits.loadMs === null
    for (const job of lost) {
      job.stop()
      this.#tell(job, () => job.ears.fail('reset'))
    }
  }
}
