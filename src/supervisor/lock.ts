import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { Block } from './machine.ts'

/** A process that cannot be mistaken for a later one with the same pid. */
const HOLDER = z.object({ pid: z.int().gt(1), startTime: z.string() }).readonly()
export type Holder = z.infer<typeof HOLDER>

/** Who holds an engine: the gate that may start it, and the engine once it runs. */
const LOCK = z.object({ gate: HOLDER, engine: HOLDER.nullable().catch(null) }).readonly()
export type LockContent = z.infer<typeof LOCK>

export interface LockDeps {
  readonly path: string
  /** This gate. */
  readonly self: Holder
  /** When a process was started; null: it is gone. */
  readonly startTimeOf: (pid: number) => Promise<string | null>
  /** SIGKILL to the group of an engine. */
  readonly kill: (pid: number) => void
  readonly nowMs: () => number
}

/** The guard of a gate that was killed ends its engine within its grace of 10 s; an engine that still
 *  runs after this long has lost its guard, too, ms. */
const ORPHAN_MS = 15_000

/**
 * The lock of one engine, a file. It keeps a gate that was restarted, or a second one, from starting
 * an engine while another process of it is not gone: both would want the same port and the memory.
 */
export class EngineLock {
  readonly #deps: LockDeps
  #orphanSince: number | null = null

  constructor(deps: LockDeps) {
    this.#deps = deps
  }

  /** Takes the lock for this gate, or says who has it. Where no file can be written there is no
   *  lock, and the port alone decides. Never rejects. */
  async take(): Promise<Block | null> {
    const { path } = this.#deps
    const held = await this.#read()
    const block = held === null ? null : await this.#blockOf(held)
    if (block !== null) return block
    // Whoever is named there is gone, or it is not a lock of ours: locks are never seen half written.
    await rm(path, { force: true }).catch(() => undefined)
    this.#orphanSince = null
    const claim = this.#aside
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      await this.#write(claim, null)
    } catch {
      return null
    }
    try {
      await link(claim, path)
      return null
    } catch (error) {
      const taken = error instanceof Error && 'code' in error && error.code === 'EEXIST'
      return taken ? { kind: 'lock', text: 'another gate is about to start it' } : null
    } finally {
      await rm(claim, { force: true }).catch(() => undefined)
    }
  }

  /** Writes down which process it is. */
  async engineRuns(pid: number): Promise<void> {
    const { path, startTimeOf } = this.#deps
    const startTime = await startTimeOf(pid)
    if (startTime === null) return
    const next = this.#aside
    try {
      await this.#write(next, { pid, startTime })
      await rename(next, path)
    } catch {
      // As above: without a file there is no lock.
    }
  }

  /** Gives it back, if it is ours. */
  async release(): Promise<void> {
    const held = await this.#read()
    if (held === null || !isDeepStrictEqual(held.gate, this.#deps.self)) return
    await rm(this.#deps.path, { force: true }).catch(() => undefined)
  }

  /** Written here first: what has its right name is whole. */
  get #aside(): string {
    return `${this.#deps.path}.${this.#deps.self.pid}`
  }

  async #write(path: string, engine: Holder | null): Promise<void> {
    const content: LockContent = { gate: this.#deps.self, engine }
    await writeFile(path, `${JSON.stringify(content)}\n`, { mode: 0o600 })
  }

  async #read(): Promise<LockContent | null> {
    try {
      return readLock(await readFile(this.#deps.path, 'utf8'))
    } catch {
      return null
    }
  }

  /** Null: whoever is named there is gone. */
  async #blockOf({ gate, engine }: LockContent): Promise<Block | null> {
    const gateLives = await this.#lives(gate)
    if (engine === null) {
      if (!gateLives || isDeepStrictEqual(gate, this.#deps.self)) return null
      return { kind: 'lock', text: `the gate with pid ${gate.pid} is about to start it` }
    }
    if (!(await this.#lives(engine))) return null
    if (gateLives) {
      const whose = isDeepStrictEqual(gate, this.#deps.self)
        ? 'this gate'
        : `the gate with pid ${gate.pid}`
      return { kind: 'lock', text: `${whose} runs it already, as pid ${engine.pid}` }
    }
    const nowMs = this.#deps.nowMs()
    this.#orphanSince ??= nowMs
    // Pid and start time are those of a process that a gate of ours started, and that gate is gone.
    if (nowMs - this.#orphanSince > ORPHAN_MS) this.#deps.kill(engine.pid)
    const text = `pid ${engine.pid}, started by a gate that is gone, has not ended yet`
    return { kind: 'lock', text }
  }

  async #lives({ pid, startTime }: Holder): Promise<boolean> {
    return (await this.#deps.startTimeOf(pid)) === startTime
  }
}

/** The content of a lock file; null: it is not ours, or was not written to its end. Pure. */
export function readLock(text: string): LockContent | null {
  try {
    return LOCK.parse(JSON.parse(text))
  } catch {
    return null
  }
}
