import type { EngineKind } from '../upstream.ts'

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

/**
 * Do these two names mean the same model to this engine? What it does not take as equal stays
 * apart: the served names and adapters of one vLLM are names of their own, and so is a quantisation.
 * Pure.
 */
export function sameModel(engine: EngineKind, a: string, b: string): boolean {
  return a === b || canonical(engine, a) === canonical(engine, b)
}

/**
 * The model that `name` means in this engine's list; null: it lists none of that name. What is
 * written exactly so comes first, then names that the engine takes as equal, then aliases. Pure.
 */
export function listedAs(
  engine: EngineKind,
  models: readonly ListedModel[] | null,
  name: string,
): ListedModel | null {
  if (models === null) return null
  const { byId, byName } = indexOf(engine, models)
  return byId.get(name) ?? byName.get(canonical(engine, name)) ?? null
}

interface Index {
  readonly engine: EngineKind
  readonly byId: ReadonlyMap<string, ListedModel>
  /** By the one spelling of each name, aliases last. */
  readonly byName: ReadonlyMap<string, ListedModel>
}

/** Each request asks, and a list of a thousand never changes: it is spelled once. */
const INDEXES = new WeakMap<readonly ListedModel[], Index>()

function indexOf(engine: EngineKind, models: readonly ListedModel[]): Index {
  const known = INDEXES.get(models)
  if (known?.engine === engine) return known
  const byName = new Map<string, ListedModel>()
  const add = (name: string, model: ListedModel): void => {
    const spelled = canonical(engine, name)
    if (!byName.has(spelled)) byName.set(spelled, model)
  }
  for (const model of models) add(model.id, model)
  for (const model of models) for (const alias of model.aliases) add(alias, model)
  // The first one of a name counts.
  const byId = new Map(models.toReversed().map((model) => [model.id, model]))
  const index = { engine, byId, byName }
  INDEXES.set(models, index)
  return index
}

/** One spelling for all names that mean the same. */
function canonical(engine: EngineKind, name: string): string {
  switch (engine) {
    case 'ollama':
      return ollamaName(name)
    case 'lmstudio':
      // A second instance of `qwen3-8b` is called `qwen3-8b:2`; keys are read without their case.
      return name.replace(/:\d+$/, '').toLowerCase()
    default:
      return name
  }
}

/**
 * `host/namespace/model:tag`, as Ollama fills in what is left out and compares without case
 * (`types/model/name.go`: `ParseName`, `EqualFold`; `getExistingName` in `server/routes.go`). A last
 * `:local` says where it runs, not which it is (`internal/modelref`).
 */
function ollamaName(name: string): string {
  const bare = name.toLowerCase().replace(/^https?:\/\//, '')
  const path = bare.replace(/:local$/, '').split('/')
  const tagged = path.pop() ?? ''
  const colon = tagged.indexOf(':')
  const model = colon === -1 ? `${tagged}:latest` : tagged
  const namespace = path.pop() ?? 'library'
  const host = path.length === 0 ? 'registry.ollama.ai' : path.join('/')
  return `${host}/${namespace}/${model}`
}
