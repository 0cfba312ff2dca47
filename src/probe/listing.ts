import { listedModels } from '../engines/model-list.ts'
import type { Clock } from '../runtime/clock.ts'
import type { fetchJson, FetchCall } from './run.ts'

/** A list older than this is asked for again, ms. */
export const LIST_MAX_AGE_MS = 60_000

/** What a model list needs to renew itself. */
export interface ListingDeps {
  readonly clock: Clock
  readonly get: typeof fetchJson
  readonly onModels: (models: readonly string[]) => void
}

/**
 * The model list of one upstream, as last told. It is no evidence of health; an engine whose
 * generation hangs still lists its models.
 */
export class Listing {
  readonly #deps: ListingDeps
  #models: readonly string[] | null = null
  #toldAt = 0
  #pending: Promise<void> | null = null

  constructor(deps: ListingDeps) {
    this.#deps = deps
  }

  /** Null: not known, or not to be trusted any more. */
  get models(): readonly string[] | null {
    return this.#models
  }

  /** Something changed there: the next round has to ask again. */
  forget(): void {
    this.#models = null
  }

  /** Asks again when the list is unknown or old. Resolves when that is done; never rejects. */
  refresh(call: Omit<FetchCall, 'path' | 'clock'>): Promise<void> {
    const { clock } = this.#deps
    const fresh = this.#models !== null && clock.nowMs() - this.#toldAt < LIST_MAX_AGE_MS
    if (fresh) return Promise.resolve()
    this.#pending ??= this.#ask(call)
    return this.#pending
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.#pending
  }

  async #ask(call: Omit<FetchCall, 'path' | 'clock'>): Promise<void> {
    const { clock, get, onModels } = this.#deps
    const fetched = await get({ ...call, clock, path: '/v1/models' })
    this.#pending = null
    if (call.signal.aborted || fetched.kind !== 'answer' || fetched.status !== 200) return
    const models = listedModels(fetched.body)
    if (models === null) return
    this.#models = models
    this.#toldAt = clock.nowMs()
    onModels(models)
  }
}
