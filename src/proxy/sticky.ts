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

/**
 * The id in `/v1/responses/{id}` and below; null: another route. A `POST` to one word below is no id
 * but a route of its own, as `/v1/responses/input_tokens` is. Pure.
 */
export function responseIdOf(method: string, path: string): string | null {
  const [, id, below] = /^\/v1\/responses\/([^/]+)(\/.*)?$/.exec(path) ?? []
  return id === undefined || (method === 'POST' && below === undefined) ? null : id
}

/** The id that an answer of `/v1/responses` begins with; null: not in these bytes. Pure. */
export function madeId(bytes: Buffer): string | null {
  return /"id"\s*:\s*"([^"\\]{1,256})"/.exec(bytes.toString('latin1'))?.[1] ?? null
}
