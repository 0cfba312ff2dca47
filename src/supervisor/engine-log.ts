import { mkdir, open, rename, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Gather } from '../core/gather.ts'
import { clip } from '../errors/body.ts'

/** One file takes so much; then it becomes the older one, and the one before that is dropped. */
const FILE_BYTES_MAX = 5 * 1024 * 1024
/** Output that waits for a slow disk is kept up to this, and dropped beyond. */
const PENDING_BYTES_MAX = 1024 * 1024
/** Of the end of the output so much is kept in memory. */
const TAIL_CHARS_MAX = 4_096
const LINE_CHARS_MAX = 300

/**
 * The output of one engine in a file of bounded size: `path`, and `path.1` before it. It is readable
 * by the user alone, since engines print their arguments. Writing never blocks and never fails: an
 * engine must not stand still because the gate's disk does.
 */
export class EngineLog {
  readonly path: string
  readonly #max: number
  #file: FileHandle | null = null
  #size = 0
  readonly #pending = new Gather()
  #writing: Promise<void> | null = null
  #tail = ''

  constructor(path: string, max: number = FILE_BYTES_MAX) {
    this.path = path
    this.#max = max
  }

  /** The last lines that hold anything, newest last, clipped and without control characters. */
  get lastLines(): readonly string[] {
    const lines = this.#tail.split(/\r?\n|\r/).filter((line) => line.trim() !== '')
    return lines.map((line) => clip(line.trim(), LINE_CHARS_MAX))
  }

  write(chunk: Buffer): void {
    this.#tail = (this.#tail + chunk.toString('utf8')).slice(-TAIL_CHARS_MAX)
    if (this.#pending.length + chunk.length > PENDING_BYTES_MAX) return
    this.#pending.push(chunk)
    this.#writing ??= this.#drain()
  }

  /** Resolves when everything is written, or cannot be. Never rejects. */
  async close(): Promise<void> {
    await this.#writing
    await this.#file?.close().catch(() => undefined)
    this.#file = null
  }

  async #drain(): Promise<void> {
    try {
      while (this.#pending.length > 0) {
        const chunk = this.#pending.take()
        // One after the other on purpose: the order is the content.
        const file = await this.#room(chunk.length)
        await file.write(chunk)
        this.#size += chunk.length
      }
    } catch {
      // A disk that is full or a folder that is gone: the engine goes on, its output is lost.
      this.#pending.clear()
    } finally {
      this.#writing = null
    }
  }

  async #room(bytes: number): Promise<FileHandle> {
    if (this.#file !== null && this.#size > 0 && this.#size + bytes > this.#max) {
      await this.#file.close()
      this.#file = null
      await rename(this.path, `${this.path}.1`)
    }
    if (this.#file !== null) return this.#file
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 })
    this.#file = await open(this.path, 'a', 0o600)
    this.#size = (await this.#file.stat()).size
    return this.#file
  }
}
