import type { ListedModel } from './listed-model.ts'
import type { EngineKind } from '../upstream.ts'

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
    case 'vllm':
    case 'vllm_metal':
    case 'llamacpp':
    case 'llamaswap':
    case 'mlx':
    case 'sglang':
    case 'openai':
    case 'embedded':
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
