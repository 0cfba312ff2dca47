import type { Entry, RoutingTable } from '../core/table.ts'
import { nextProbeAt } from '../core/health/schedule.ts'
import { LATE_MS, watchPunctuality } from './doubt.ts'
import { type LoopDeps, ProbeLoop, type Turns } from './loop.ts'
import { fetchJson } from './wire.ts'
import { runProbe, type Wire } from './generate.ts'

/** What a prober needs. `wire` is the network; absent: the real one. */
export type ProberDeps = Omit<LoopDeps, 'wire'> & { readonly wire?: Wire }

/** After a stall of ours, what came meanwhile is read before anything is asked: sockets are read
 *  between any two timers, so this need not be long, ms. */
const CATCH_UP_MS = 20

/** One upstream that is probed. */
interface Probed {
  readonly due: Due
  readonly loop: ProbeLoop
}

/** A wake-up is never planned sooner than this, ms: a verdict that wants to be asked again at once
 *  must not spin the event loop. */
const WAKE_AFTER_MS_MIN = 1

/**
 * The control plane: one probe loop per entry of the table, one timer that lets verdicts change
 * when only time passes, and one look at our own punctuality. It changes routing only
 * (docs/decisions/0019).
 */
export class Prober {
  readonly #deps: LoopDeps
  readonly #probed = new Map<string, Probed>()
  /** Loops that were stopped and have not ended yet. */
  readonly #ending = new Set<Promise<void>>()
  #unsubscribe: (() => void) | null = null
  #endWatch: (() => void) | null = null
  #wake: { readonly at: number; readonly cancel: () => void } | null = null

  constructor(deps: ProberDeps) {
    this.#deps = { wire: { probe: runProbe, get: fetchJson }, ...deps }
  }

  start(): void {
    if (this.#unsubscribe !== null) return
    const { store, clock, emit } = this.#deps
    this.#unsubscribe = store.subscribe((now, before) => this.#changed(now, before))
    this.#endWatch = watchPunctuality(clock, (why, lostMs) => {
      store.apply({ type: 'doubt', at: clock.nowMs() })
      emit({ type: 'doubted', why, lostMs })
    })
    this.sync()
    this.#planWake(store.current)
  }

  /** Starts and stops loops until there is one per entry. The table's changes call it too. */
  sync(): void {
    if (this.#unsubscribe === null) return
    const { entries } = this.#deps.store.current
    for (const probed of this.#probed.values()) {
      if (probed.due.entry() === null) this.#end(probed)
    }
    for (const entry of entries) {
      if (this.#probed.has(entry.spec.name)) continue
      const due = new Due(entry, this.#deps)
      const loop = new ProbeLoop(due, this.#deps)
      this.#probed.set(due.name, { due, loop })
      loop.start()
    }
  }

  /** Ends every probe. Resolves when no loop, timer or connection is left. */
  async stop(): Promise<void> {
    this.#unsubscribe?.()
    this.#unsubscribe = null
    this.#endWatch?.()
    this.#wake?.cancel()
    this.#wake = null
    for (const probed of this.#probed.values()) this.#end(probed)
    await Promise.all(this.#ending)
  }

  #changed(now: RoutingTable, before: RoutingTable): void {
    this.#planWake(now)
    const configured = now.config !== before.config
    if (configured) this.sync()
    // A client that comes back shortens every interval.
    const everyone = configured || now.activeSince !== before.activeSince
    for (const [index, entry] of now.entries.entries()) {
      const was = before.entries[index]
      if (!everyone && !differs(entry, was)) continue
      const probed = this.#probed.get(entry.spec.name)
      if (entry.facts.failure !== was?.facts.failure) probed?.loop.changed(entry)
      probed?.due.changed(now, entry)
    }
  }

  #planWake(table: RoutingTable): void {
    // A later wake-up needs no new timer: the old one looks again when it fires.
    if (this.#unsubscribe === null || table.wakeAt >= (this.#wake?.at ?? Infinity)) return
    this.#wake?.cancel()
    const { clock, store } = this.#deps
    const delayMs = Math.max(WAKE_AFTER_MS_MIN, Math.ceil(table.wakeAt - clock.nowMs()))
    const cancel = clock.after(delayMs, () => {
      this.#wake = null
      // Reading lets verdicts change whose time has come.
      this.#planWake(store.current)
    })
    this.#wake = { at: table.wakeAt, cancel }
  }

  #end({ due, loop }: Probed): void {
    this.#probed.delete(due.name)
    due.stop()
    const ended = loop.stop().finally(() => this.#ending.delete(ended))
    this.#ending.add(ended)
  }
}

/** Can the next probe of this entry be due at another time now? */
function differs(now: Entry, before: Entry | undefined): boolean {
  return (
    before === undefined ||
    now.facts !== before.facts ||
    now.reason !== before.reason ||
    now.spec !== before.spec
  )
}

/**
 * Waits until the next probe of one upstream is due. A change that makes it due sooner moves the
 * timer; one that makes it due later does not, since a timer that fires looks again.
 */
class Due implements Turns {
  readonly name: string
  readonly epoch: number
  readonly #deps: LoopDeps
  #stopped = false
  #jitter = 0
  #plan: (() => void) | null = null
  #armedAt = Infinity

  constructor({ spec, epoch }: Entry, deps: LoopDeps) {
    this.name = spec.name
    this.epoch = epoch
    this.#deps = deps
  }

  entry(): Entry | null {
    const { entries } = this.#deps.store.current
    if (this.#stopped) return null
    return (
      entries.find(({ spec, epoch }) => spec.name === this.name && epoch === this.epoch) ?? null
    )
  }

  wait(): Promise<void> {
    const { clock, random, store } = this.#deps
    this.#jitter = random() * 2 - 1
    return new Promise((resolve) => {
      let cancel: (() => void) | null = null
      const plan = (): void => {
        // Reading can let a verdict change, which can plan anew or even end the wait: read first.
        const entry = this.entry()
        if (this.#plan !== plan) return
        cancel?.()
        const nowMs = clock.nowMs()
        const at = entry === null ? nowMs : this.#nextAt(store.current, entry, nowMs)
        if (at <= nowMs) {
          this.#plan = null
          return resolve()
        }
        this.#armedAt = at
        // Rounded up: a timer cut to whole milliseconds would come too early and turn round.
        cancel = at === Infinity ? null : clock.after(Math.ceil(at - nowMs), () => fire(at))
      }
      const fire = (at: number): void => {
        if (clock.nowMs() - at <= LATE_MS) return plan()
        cancel = clock.after(CATCH_UP_MS, plan)
      }
      this.#plan = plan
      plan()
    })
  }

  /** Something that can make the next probe due sooner has changed. */
  changed(table: RoutingTable, entry: Entry): void {
    if (this.#plan === null) return
    if (this.#nextAt(table, entry, this.#deps.clock.nowMs()) < this.#armedAt) this.#plan()
  }

  stop(): void {
    this.#stopped = true
    this.#plan?.()
  }

  #nextAt(table: RoutingTable, entry: Entry, nowMs: number): number {
    return nextProbeAt(table, entry, nowMs, this.#jitter)
  }
}
