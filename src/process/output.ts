import { StringDecoder } from 'node:string_decoder'

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
