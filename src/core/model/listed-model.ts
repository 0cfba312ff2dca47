/** What a model is for. A proof of one kind of work proves no other. */
export type Work = 'generation' | OtherWork

/** Work that is proven by traffic of its own kind alone, or by a probe that embeds. */
export type OtherWork = 'embedding' | 'rerank'

/** One model that an upstream lists. Plain value. */
export interface ListedModel {
  /** As the engine lists it. */
  readonly id: string
  /** Further names that the engine takes for the same model. */
  readonly aliases: readonly string[]
  /** What it is for; `other`: speech, pictures and the like; null: nothing says. */
  readonly work: Work | 'other' | null
  /** Does it run on the engine's machine, and not elsewhere for money? */
  readonly local: boolean
  /** Bytes of its weights; null: the engine does not say. */
  readonly sizeBytes: number | null
  /** What else the engine's own entry says, for `/v1/models`: `max_model_len`, `meta`, `created` … */
  readonly fields: Readonly<Record<string, unknown>>
}

/** A model of which nothing is known but its name. */
export function plainModel(id: string): ListedModel {
  return { id, aliases: [], work: null, local: true, sizeBytes: null, fields: {} }
}

/** May it be asked for a chat? Nothing says that it is for something else. Pure. */
export function generates({ work }: ListedModel): boolean {
  return work === null || work === 'generation'
}

/** The names in a list, in its order; null: there is no list. Pure. */
export function idsOf(models: readonly ListedModel[] | null): readonly string[] | null {
  return models === null ? null : models.map(({ id }) => id)
}
