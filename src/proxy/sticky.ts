/** Ids that are remembered at most; the oldest are forgotten first. */
const IDS_MAX = 10_000
/** An id is forgotten this long after it was made or used, ms. Engines keep responses in memory. */
const LIFE_MS = 3_600_000
/** Longer ids than any engine makes are not remembered. */
const ID_LENGTH_MAX = 256

/**
 * Which upstream made a response: `/v1/responses/{id}` and `previous_response_id` must go there, as
 * nobody else has it. Bounded in number and in time.
 */
export class Sticky {
  readonly #nowMs: () => number
  readonly #made = new Map<string, { readonly upstream: string; readonly at: number }>()

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  remember(id: string, upstream: string): void {
    if (id.length > ID_LENGTH_MAX) return
    this.#made.delete(id)
    this.#made.set(id, { upstream, at: this.#nowMs() })
    for (const [oldest, { at }] of this.#made) {
      if (this.#made.size <= IDS_MAX && this.#nowMs() - at < LIFE_MS) break
      this.#made.delete(oldest)
    }
  }

  /** The upstream that made it; null: unknown, or forgotten. */
  find(id: string): string | null {
    const made = this.#made.get(id)
    if (made === undefined || this.#nowMs() - made.at >= LIFE_MS) return null
    this.remember(id, made.upstream)
    return made.upstream
  }
}

/** Bytes of a key or id that are kept while it is read. */
const TEXT_MAX = ID_LENGTH_MAX + 1
/** How deep the id may lie: in an event it is a member of `response`. */
const DEPTH_MAX = 2

/**
 * Finds the id of the response in an answer of `/v1/responses` as it goes by: the top-level `id` of a
 * JSON body, or that of the `response` in an event. Keeps a few bytes, whatever the size.
 */
export class MadeId {
  readonly #where: string
  /** Is what is open an object, per level; the levels below are only counted. */
  readonly #objects = [false, false, false]
  readonly #keys = ['', '', '']
  #depth = 0
  #isKey = false
  #text: string | null = null
  #escaped = false

  /** `where`: the keys that lead to it, as in `id` or `response.id`. */
  constructor(where: 'id' | 'response.id') {
    this.#where = where
  }

  /** The id, once; null: not yet, or there is none. */
  push(bytes: Buffer): string | null {
    for (const byte of bytes) {
      const char = String.fromCharCode(byte)
      if (this.#text === null) this.#between(char)
      else if (this.#escaped) this.#escaped = false
      else if (char === '\\') {
        this.#escaped = true
        // Engines make no id that needs an escape.
        this.#text = '\\'.padEnd(TEXT_MAX, '\\')
      } else if (char === '"') {
        const id = this.#ended(this.#text)
        if (id !== null) return id
      } else if (this.#text.length < TEXT_MAX) this.#text += char
    }
    return null
  }

  #between(char: string): void {
    if (char === '"') this.#text = ''
    else if (char === '{' || char === '[') {
      this.#depth += 1
      if (this.#depth <= DEPTH_MAX) this.#objects[this.#depth] = char === '{'
      this.#isKey = char === '{'
    } else if (char === '}' || char === ']') this.#depth -= 1
    else if (char === ',') this.#isKey = this.#objects[this.#depth] === true
    else if (char === ':') this.#isKey = false
  }

  #ended(text: string): string | null {
    this.#text = null
    const depth = this.#depth
    if (depth < 1 || depth > DEPTH_MAX || this.#objects[depth] !== true) return null
    if (this.#isKey) {
      this.#keys[depth] = text
      return null
    }
    const found = this.#keys.slice(1, depth + 1).join('.') === this.#where
    return found && text !== '' && text.length <= ID_LENGTH_MAX ? text : null
  }
}
