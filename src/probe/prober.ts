import type { Entry, RoutingTable } from '../core/table.ts'
import { watchPunctuality } from './doubt.ts'
import { type LoopDeps, ProbeLoop } from './loop.ts'
import { fetchJson } from './wire.ts'
import { runProbe, type Wire } from './generate.ts'

/** What a prober needs. `wire` is the network; absent: the real one. */
export type ProberDeps = Omit<LoopDeps, 'wire'> & { readonly wire?: Wire }

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
  readonly #loops = new Map<string, ProbeLoop>()
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
    const epochs = new Map(entries.map((entry) => [entry.spec.name, entry.epoch]))
    for (const [name, loop] of this.#loops) {
      if (epochs.get(name) !== loop.epoch) this.#end(name, loop)
    }
    for (const [name, epoch] of epochs) {
      if (this.#loops.has(name)) continue
      const loop = new ProbeLoop(name, epoch, this.#deps)
      this.#loops.set(name, loop)
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
    for (const [name, loop] of this.#loops) this.#end(name, loop)
    await Promise.all(this.#ending)
  }

  #changed(now: RoutingTable, before: RoutingTable): void {
    this.#planWake(now)
    const configured = now.config !== before.config
    if (configured) this.sync()
    // A client that comes back shortens every interval.
    const everyone = configured || now.activeSince !== before.activeSince
    for (const [index, entry] of now.entries.entries()) {
      if (!everyone && !differs(entry, before.entries[index])) continue
      this.#loops.get(entry.spec.name)?.changed(now, entry)
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

  #end(name: string, loop: ProbeLoop): void {
    this.#loops.delete(name)
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
