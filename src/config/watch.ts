import { type BigIntStats, type FSWatcher, realpathSync, statSync, watch } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../runtime/clock.ts'

/** Several events of one save become one look, ms. */
export const SETTLE_MS = 100
/** Between two looks that nothing asked for: not every file system tells, ms. */
export const POLL_MS = 2_000

export interface WatchOptions {
  /** The env file; it need not exist. */
  readonly path: string
  readonly clock: Clock
  /** Called after the file was changed, replaced, removed or created. Must not throw. */
  readonly onChange: () => void
}

/**
 * Watches the env file until the returned function is called. Directories are watched, not the
 * file: editors rename a new file over the old one, and Kubernetes swaps a link to the directory
 * that holds it; a watch on the file itself would stay with the old one.
 */
export function watchEnvFile(options: WatchOptions): () => void {
  const watched = new EnvFileWatch(options)
  return () => watched.stop()
}

class EnvFileWatch {
  readonly #options: WatchOptions
  readonly #watchers = new Map<string, FSWatcher>()
  #identity: string
  #stopped = false
  #looking = false
  #cancelLook: (() => void) | null = null
  #cancelPoll: () => void

  constructor(options: WatchOptions) {
    this.#options = options
    // The watch comes first: what changes after the first look is then seen.
    const target = orNull(() => realpathSync(options.path))
    this.#watchDirectories(target)
    this.#identity = identityOf(
      target,
      orNull(() => statSync(options.path, { bigint: true })),
    )
    this.#cancelPoll = options.clock.after(POLL_MS, () => this.#poll())
  }

  stop(): void {
    this.#stopped = true
    this.#cancelLook?.()
    this.#cancelPoll()
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #poll(): void {
    this.#cancelPoll = this.#options.clock.after(POLL_MS, () => this.#poll())
    void this.#look()
  }

  /** A look is due soon. Later events do not put it off, or a busy directory would for ever. */
  #lookSoon(): void {
    if (this.#stopped || this.#cancelLook !== null) return
    this.#cancelLook = this.#options.clock.after(SETTLE_MS, () => {
      this.#cancelLook = null
      void this.#look()
    })
  }

  async #look(): Promise<void> {
    if (this.#looking) return this.#lookSoon()
    this.#looking = true
    const { path } = this.#options
    const target = await realpath(path).catch(() => null)
    const stats = await stat(path, { bigint: true }).catch(() => null)
    this.#looking = false
    if (this.#stopped) return
    this.#watchDirectories(target)
    const identity = identityOf(target, stats)
    if (identity === this.#identity) return
    this.#identity = identity
    this.#options.onChange()
  }

  /** Watches the directory of the path and, behind a link, that of the file itself. Watches are
   *  made anew while the file is absent: its directory may be a new one. */
  #watchDirectories(target: string | null): void {
    const { path } = this.#options
    const wanted = new Set([dirname(path), dirname(target ?? path)])
    for (const [directory, watcher] of this.#watchers) {
      if (target !== null && wanted.has(directory)) continue
      watcher.close()
      this.#watchers.delete(directory)
    }
    for (const directory of wanted) {
      if (!this.#watchers.has(directory)) this.#open(directory)
    }
  }

  #open(directory: string): void {
    try {
      const watcher = watch(directory, () => this.#lookSoon())
      watcher.on('error', () => {
        watcher.close()
        this.#watchers.delete(directory)
      })
      this.#watchers.set(directory, watcher)
    } catch {
      // No directory, no permission or no watches left: the poll sees the change a little later.
    }
  }
}

/** What changes when the content does: which file it is, and its last write. */
function identityOf(target: string | null, stats: BigIntStats | null): string {
  if (target === null || stats === null) return 'absent'
  return [target, stats.ino, stats.size, stats.mtimeNs].join(' ')
}

/** The result; null: it threw, so there is no such file or it cannot be reached. */
function orNull<T>(look: () => T): T | null {
  try {
    return look()
  } catch {
    return null
  }
}
