import { durationText } from '../core/explain.ts'
import type { EndCause, ProcessStatus } from '../core/owned/process.ts'
import type { RoutingTable } from '../core/table.ts'
import type { ChildEnd } from '../process/child.ts'
import type { Random } from '../runtime/random.ts'
import {
  Book,
  noteOf,
  phaseAfter,
  PLANNED,
  startText,
  statusOf,
  Telling,
  type TellingDeps,
} from './book.ts'
import {
  type Action,
  decide,
  GRACE_MS,
  nextLookMs,
  type Owned,
  type Situation,
  verdictOf,
} from './decide.ts'
import {
  type EngineDeath,
  type EngineProcess,
  type Machine,
  type Plan,
  sameLine,
  wantOf,
} from './machine.ts'
import type { GateEvent } from '../core/event.ts'

/** What all owners share. */
export interface OwnerDeps extends TellingDeps {
  readonly random: Random
  /** Requests that the gate has at an upstream. */
  readonly inFlight: (name: string) => number
  readonly drainMs: () => number
  readonly machine: Machine
  /** Calls `observe` with every event from now on. */
  readonly listen: (observe: (event: GateEvent) => void) => unknown
  /** Hears of engines that ended by themselves. */
  readonly onDeath?: ((death: EngineDeath) => void) | undefined
}

/** A look that comes so much later than planned tells that our own machine was held up, ms. */
const LATE_MS = 500
/** Until a port or a lock that somebody else has is looked at again, ms. */
const AGAIN_MS = { port: 5_000, lock: 500 } as const

/**
 * Owns the process of one upstream: looks at the table and at its process, asks `decide`, and does
 * it. It tells the table what it does, so that routing follows. Only what it started is ever ended.
 */
export class Owner {
  readonly name: string
  readonly #deps: OwnerDeps
  readonly #telling: Telling
  readonly #book = new Book()
  #plan: Plan | null
  /** What runs was started from this. */
  #started: Plan | null = null
  #owned: Owned = { kind: 'down' }
  #since: number
  #process: EngineProcess | null = null
  #checking: Promise<void> = Promise.resolve()
  #gone: (() => void) | null = null
  #stopped = false
  #cancel = (): void => {}

  constructor(plan: Plan, deps: OwnerDeps) {
    this.name = plan.name
    this.#plan = plan
    this.#deps = deps
    this.#telling = new Telling(plan.name, deps)
    this.#since = deps.clock.nowMs()
  }

  /** Is nothing left to own: the plan was withdrawn and no process runs? */
  get isDone(): boolean {
    return this.#plan === null && this.#owned.kind === 'down'
  }

  /** Takes a plan (null: own it no longer). An operator who reads the configuration again has
   *  looked: an engine that stayed down gets another chance. */
  configure(plan: Plan | null): void {
    if (this.#stopped) return
    this.#plan = plan
    if (this.#book.forgive()) {
      this.#telling.step('resumed', null, 'the configuration was read again, so it may start again')
    }
    if (this.#owned.kind === 'blocked') this.#become({ kind: 'down' })
    this.look()
  }

  /** A client's request ended there. */
  used(): void {
    this.#book.trafficAt = this.#deps.clock.nowMs()
  }

  /** The table changed: does a request wait for a start, or is it another server now? */
  changed(table: RoutingTable): void {
    const entry = table.entries.find(({ spec }) => spec.name === this.name)
    if (entry === undefined || this.#stopped) return
    this.#telling.epoch(entry.epoch)
    if (entry.facts.wantedAt !== null && this.#owned.kind === 'down') this.look()
  }

  /** Looks, decides, acts, and plans the next look. */
  look(): void {
    if (this.#stopped) return
    this.#cancel()
    const situation = this.#situation()
    const action = decide(situation)
    this.#act(action, situation)
    // Acting can have looked again, and planned by what it saw then.
    this.#lookIn(nextLookMs(this.#owned.kind, action, situation.nowMs))
  }

  #lookIn(waitMs: number | null): void {
    this.#cancel()
    if (waitMs === null) return
    const { clock } = this.#deps
    const dueAt = clock.nowMs() + waitMs
    this.#cancel = clock.after(waitMs, () => {
      // We were not awake: what came meanwhile is heard before anything is decided.
      if (clock.nowMs() - dueAt > LATE_MS) this.#lookIn(LATE_MS)
      else this.look()
    })
  }

  /** Ends the process, and all looks. Resolves when nothing of it is left; never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await this.#checking
    if (this.#process === null) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#gone = resolve
    if (this.#owned.kind !== 'ending') this.#terminate('shutdown')
    const cancel = this.#deps.clock.after(GRACE_MS, () => this.#kill('shutdown'))
    await promise
    cancel()
  }

  /** Null: it owns nothing any more. */
  status(): ProcessStatus | null {
    const plan = this.#plan ?? this.#started
    if (plan === null) return null
    const { name } = this
    const own = { name, plan, process: this.#process, since: this.#since, book: this.#book }
    return statusOf(this.#situation(), own)
  }

  #situation(): Situation {
    const { clock, store, inFlight, drainMs } = this.#deps
    const nowMs = clock.nowMs()
    const plan = this.#plan
    const verdict = verdictOf(store.current, this.name, nowMs)
    if (verdict?.phase === 'running') this.#generated(verdict.phaseAt)
    return {
      nowMs,
      want: wantOf(plan),
      changed: plan !== null && this.#started !== null && !sameLine(plan, this.#started),
      owned: this.#owned,
      history: this.#book.history,
      verdict,
      inFlight: inFlight(this.name),
      trafficAt: this.#book.trafficAt,
      idleStopMs: plan?.idleStopMs ?? null,
      drainMs: drainMs(),
    }
  }

  #act(action: Action, situation: Situation): void {
    switch (action.kind) {
      case 'none':
      case 'wait': {
        const phase = phaseAfter(situation, action)
        if (phase !== undefined) this.#telling.phase(phase)
        return
      }
      case 'start':
      case 'check':
        this.#checking = this.#check()
        return
      case 'drain':
        this.#become({ kind: 'draining', since: situation.nowMs, cause: action.cause })
        this.#telling.phase('draining')
        this.#telling.step('draining', action.cause, `${situation.inFlight} in flight finish first`)
        return
      case 'terminate':
        return this.#terminate(action.cause)
      case 'kill':
        return this.#kill(situation.owned.kind === 'ending' ? situation.owned.cause : 'exited')
    }
  }

  async #check(): Promise<void> {
    const plan = this.#plan
    if (plan === null) return
    const { machine, clock } = this.#deps
    this.#become({ kind: 'checking' })
    const block = await machine.blockedBy(plan)
    this.#become({ kind: 'down' })
    if (block === null) {
      this.#book.blockedBy = ''
      // While that was being found out the wish may have passed.
      const stands = !this.#stopped && this.#plan === plan
      if (stands && decide(this.#situation()).kind === 'start') this.#start(plan)
      else machine.release(plan)
    } else {
      this.#become({ kind: 'blocked', until: clock.nowMs() + AGAIN_MS[block.kind] })
      // Whoever answers there is judged like any other upstream.
      if (block.kind === 'port') this.#telling.phase(null)
      if (block.text !== this.#book.blockedBy) this.#telling.step('blocked', null, block.text)
      this.#book.blockedBy = block.text
    }
    this.look()
  }

  #start(plan: Plan): void {
    const { machine, clock } = this.#deps
    const process = machine.start(plan, (end) => this.#ended(end))
    this.#process = process
    this.#started = plan
    this.#become({ kind: 'up', startedAt: clock.nowMs() })
    const cause = this.#book.started(process.log)
    this.#telling.phase(plan.idleStopMs === null ? 'starting' : 'waking')
    this.#telling.step('started', cause, startText(plan, process))
  }

  #generated(readyAt: number): void {
    if (this.#book.readyAt !== null || this.#owned.kind !== 'up') return
    this.#book.readyAt = readyAt
    const tookMs = readyAt - this.#owned.startedAt
    this.#telling.step('generated', null, `${durationText(tookMs)} after its start`)
  }

  #terminate(cause: EndCause): void {
    this.#become({ kind: 'ending', since: this.#deps.clock.nowMs(), cause, killed: false })
    // First the table, then the signal: no new request may meet a process that ends.
    if (cause === 'idle') this.#telling.phase('asleep')
    if (PLANNED.has(cause)) this.#telling.phase('draining')
    this.#telling.step('terminated', cause, 'SIGTERM to its process group')
    this.#process?.signal('SIGTERM')
  }

  #kill(cause: EndCause): void {
    this.#become({ kind: 'ending', since: this.#deps.clock.nowMs(), cause, killed: true })
    this.#telling.step('killed', cause, 'SIGTERM did not end it: SIGKILL to its process group')
    this.#process?.signal('SIGKILL')
  }

  #ended(end: ChildEnd): void {
    const { how, lines } = end
    const { clock, random } = this.#deps
    const lastLine = lines.at(-1) ?? ''
    const { owned } = this.#situation()
    const cause = owned.kind === 'ending' ? owned.cause : 'exited'
    const gaveUp = this.#book.ended({ cause, at: clock.nowMs(), how }, lastLine, random)
    this.#process = null
    this.#started = null
    this.#become({ kind: 'down' })
    const words = lastLine === '' ? '' : `; its last line: ${lastLine}`
    this.#telling.step(cause === 'exited' ? 'died' : 'ended', cause, `${how}${words}`)
    if (gaveUp) this.#telling.step('gave_up', cause, noteOf('gave_up', this.name, this.#book))
    if (this.#gone !== null) return this.#gone()
    if (cause !== 'idle' && !PLANNED.has(cause)) this.#telling.phase('exited')
    this.look()
    const { name } = this
    if (cause === 'exited') this.#deps.onDeath?.({ ...end, name, alike: this.#book.alike })
  }

  #become(owned: Owned): void {
    this.#owned = owned
    this.#since = this.#deps.clock.nowMs()
  }
}
