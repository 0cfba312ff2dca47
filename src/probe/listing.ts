import {
  type Choice,
  choiceOf,
  type ListedModel,
  plainModel,
  type Work,
} from '../core/model/model-choice.ts'
import { listedModels, withDetails, workOfName } from '../engines/model-list.ts'
import type { Quirks } from '../engines/quirks.ts'
import type { Clock } from '../runtime/clock.ts'
import type { FetchCall, Fetched, fetchJson } from './wire.ts'
import type { Facts } from '../core/health/facts.ts'
import type { SwapPolicy } from '../core/upstream.ts'

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
 * The model list of one upstream, as last told. It is not evidence of health; an engine whose
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
    for (const { path, read: models } of call.quirks.details) {
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

/** What is known when a model is chosen. */
export interface ModelKnowledge {
  /** The operator's choice; null: none. */
  readonly configured: string | null
  /** May a plain upstream swap models? */
  readonly swaps: SwapPolicy
  /** In memory now; null: the engine did not say. */
  readonly loaded: readonly string[] | null
  /** Was it asked what is in memory, and silent? */
  readonly silent: boolean
  /** The model that was probed before, while it was in memory. */
  readonly lastLoaded: string | null
  /** Models that were seen to generate, and when it last said what is in memory. */
  readonly facts: Pick<Facts, 'proven' | 'loadedAt'>
  /** What it lists; null: not known. */
  readonly listed: readonly ListedModel[] | null
  readonly quirks: Quirks
}

export type ProbeChoice =
  /** Probe this one; null: leave the name out. */
  | { readonly kind: 'probe'; readonly model: string | null }
  /** A probe would load a model, cost money or leave the machine. */
  | { readonly kind: 'cold' }
  /** Several are listed and nothing says which one is in memory. */
  | { readonly kind: 'undecided' }

/** The model that a request without a name would mean, as long as it is in memory: so a probe never
 *  causes a load (docs/decisions/0018), and tells of what routing relies on. Pure. */
export function chooseModel(known: ModelKnowledge): ProbeChoice {
  const choice = choose(known)
  const never = choice.kind === 'probe' && choice.model !== null
  return never && known.quirks.neverProbe(choice.model) ? { kind: 'cold' } : choice
}

function choose(known: ModelKnowledge): ProbeChoice {
  const { configured, loaded, listed, quirks, facts } = known
  // A nameless request loads nothing, and hangs as well as any other where nothing generates.
  if (known.silent) return { kind: 'probe', model: configured ?? known.lastLoaded }
  const { swaps } = known
  const spec = { engine: quirks.kind, model: configured, cold: 'on_demand', swaps } as const
  // A list that is silent must not make an embedding model stand for a chat model.
  const guessed = loaded?.map((id) => ({ ...plainModel(id), work: workOfName(id) })) ?? null
  const at = { spec, facts: { ...facts, models: listed ?? guessed, loaded } }
  const { why, model, loads } = choiceFor((work) => choiceOf(at, work))
  if (loads && configured !== null && loaded === null) return { kind: 'probe', model }
  if (loads) return { kind: loaded === null ? 'undecided' : 'cold' }
  if (why !== null) return { kind: 'probe', model }
  // It listed nothing: ask without a name, so that a wedge shows and a refusal is its own.
  return loaded === null && (listed ?? []).length === 0
    ? { kind: 'probe', model: null }
    : { kind: 'cold' }
}

/** What generates; where nothing does, what does other work. */
function choiceFor(choiceOfWork: (work: Work) => Choice): Choice {
  const choice = choiceOfWork('generation')
  if (choice.why !== null) return choice
  const other = choiceOfWork('embedding')
  return other.why === null ? choiceOfWork('rerank') : other
}
