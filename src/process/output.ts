import { mkdir, open, rename, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Writable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { Gather } from '../core/gather.ts'

/** Lines that are kept: a Python traceback through three processes has about a hundred. */
const LINES_MAX = 200
/** Characters that are kept of one line. */
const LINE_CHARS_MAX = 1_000

/** The last lines of a text that comes in pieces. Progress bars (`\r`) are lines, too. */
export class Tail {
  readonly #decoder = new StringDecoder('utf8')
  readonly #lines: string[] = []
  #open = ''

  add(piece: Buffer): void {
    const parts = (this.#open + this.#decoder.write(piece)).split(/\r?\n|\r/)
    this.#open = (parts.pop() ?? '').slice(0, LINE_CHARS_MAX)
    for (const part of parts) {
      if (part !== '') this.#lines.push(part.slice(0, LINE_CHARS_MAX))
    }
    this.#lines.splice(0, Math.max(0, this.#lines.length - LINES_MAX))
  }

  /** Newest last. */
  get lines(): readonly string[] {
    return this.#open === '' ? [...this.#lines] : [...this.#lines, this.#open]
  }
}

/** One file takes so much; then it becomes the older one, and the one before that is dropped. */
const FILE_BYTES_MAX = 5 * 1024 * 1024
/** Output that waits for a slow disk is kept up to this, and dropped beyond. */
const PENDING_BYTES_MAX = 1024 * 1024

/**
 * The output of one child in a file of bounded size: `path`, and `path.1` before it. It is readable
 * by the user alone, since engines print their arguments. Writing never blocks and never fails: a
 * child must not stand still because the gate's disk does.
 */
export class LogFile extends Writable {
  readonly path: string
  readonly #max: number
  #file: FileHandle | null = null
  #size = 0
  readonly #pending = new Gather()
  #writing: Promise<void> | null = null

  constructor(path: string, max: number = FILE_BYTES_MAX) {
    super()
    this.path = path
    this.#max = max
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    done()
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
      // A disk that is full or a folder that is gone: the child goes on, its output is lost.
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
