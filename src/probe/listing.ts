import type { ListedModel } from '../core/model/listed-model.ts'
import { listedModels, withDetails } from '../engines/model-list.ts'
import type { Quirks } from '../engines/quirks.ts'
import type { Clock } from '../runtime/clock.ts'
import type { FetchCall, Fetched, fetchJson } from './run.ts'

/** A list older than this is asked for again, ms. */
export const LIST_MAX_AGE_MS = 60_000

/** What a model list needs to renew itself. */
export interface ListingDeps {
  readonly clock: Clock
  readonly get: typeof fetchJson
  readonly onModels: (models: readonly ListedModel[]) => void
}

/** One look at a list. */
export interface ListCall extends Omit<FetchCall, 'path' | 'clock'> {
  readonly quirks: Quirks
}

/**
 * The model list of one upstream, as last told. It is no evidence of health; an engine whose
 * generation hangs still lists its models.
 */
export class Listing {
  readonly #deps: ListingDeps
  #models: readonly ListedModel[] | null = null
  /** As told last: an answer that is missing once must not change which model is meant. */
  #details: readonly ListedModel[] = []
  #toldAt = 0
  #pending: Promise<unknown> | null = null

  constructor(deps: ListingDeps) {
    this.#deps = deps
  }

  /** Null: not known, or not to be trusted any more. */
  get models(): readonly ListedModel[] | null {
    return this.#models
  }

  /** Something changed there: the next round has to ask again. */
  forget(): void {
    this.#models = null
  }

  /** Asks again when the list is unknown or old. Resolves when that is done; never rejects. */
  refresh(call: ListCall): Promise<unknown> {
    const { clock } = this.#deps
    const fresh = this.#models !== null && clock.nowMs() - this.#toldAt < LIST_MAX_AGE_MS
    if (fresh) return Promise.resolve()
    this.#pending ??= this.#ask(call).finally(() => {
      this.#pending = null
    })
    return this.#pending
  }

  /** Asks again, however new the list is; answers what came. */
  look(call: ListCall): Promise<Fetched> {
    return this.#ask(call)
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.#pending
  }

  async #ask(call: ListCall): Promise<Fetched> {
    const { clock, get, onModels } = this.#deps
    const fetched = await get({ ...call, clock, path: '/v1/models' })
    if (call.signal.aborted || fetched.kind !== 'answer' || fetched.status !== 200) return fetched
    const listed = listedModels(fetched.body)
    if (listed === null) return fetched
    await this.#askDetails(call)
    if (call.signal.aborted) return fetched
    const models = withDetails(call.quirks.kind, listed, this.#details)
    this.#models = models
    this.#toldAt = clock.nowMs()
    onModels(models)
    return fetched
  }

  /** More of the same models, where the engine has it: it is listed all the same where not. */
  async #askDetails(call: ListCall): Promise<void> {
    const { clock, get } = this.#deps
    for (const { path, models } of call.quirks.details) {
      // One after the other on purpose: the next one is for engines that do not have this one.
      const fetched = await get({ ...call, clock, path })
      if (fetched.kind !== 'answer') return
      const told = fetched.status === 200 ? models(fetched.body) : null
      if (told === null) continue
      this.#details = told
      return
    }
  }
}
