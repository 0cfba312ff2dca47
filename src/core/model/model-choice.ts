import type { EngineKind, UpstreamSpec } from '../upstream.ts'

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

/** A model that was seen to generate, by the name that the upstream knows, and when last. */
export interface Proven {
  readonly model: string
  readonly at: number
}

/** What an upstream has told of its models, and what they have shown. Times are monotonic ms. */
export interface ModelFacts {
  /** Models it lists; null: never answered. */
  readonly models: readonly ListedModel[] | null
  /** Names that it says are in memory; null: it does not tell, or never answered. */
  readonly loaded: readonly string[] | null
  /** When it said so last. */
  readonly loadedAt: number
  /** Models that were last seen to generate, and when; the newest last, ≤ 16. */
  readonly proven: readonly Proven[]
}

/** Names that are remembered: clients may send any. */
const PROVEN_MAX = 16

/** The models seen to generate, the newest last, after this evidence. Pure. */
export function provenBy(
  { proven }: Pick<ModelFacts, 'proven'>,
  { at, model = null }: { readonly at: number; readonly model?: string | null },
): readonly Proven[] {
  if (model === null) return proven
  return [...proven.filter((one) => one.model !== model), { model, at }].slice(-PROVEN_MAX)
}

/** Why a model is the one that a nameless request means. A closed set: a field of the status. */
export type ChoiceWhy =
  /** `GENGATE_<NAME>_MODEL`. */
  | 'configured'
  /** It is the only one of its kind that is listed. */
  | 'only'
  /** The engine itself takes it for a request without a name. */
  | 'engine'
  | 'in_memory'
  /** The last one that was seen to generate. */
  | 'proven'
  | 'smallest'
  | 'first'

/** Which model a nameless request means at one upstream. */
export interface Choice {
  /** Null with a `why`: the engine takes a request without a name. Null without: none is meant. */
  readonly model: string | null
  readonly why: ChoiceWhy | null
  /** Would such a request load it, as far as we know? */
  readonly loads: boolean
}

/** What the choice depends on: an entry of the table has it. */
export interface Choosing {
  readonly spec: Pick<UpstreamSpec, 'engine' | 'model' | 'cold' | 'swaps'>
  readonly facts: ModelFacts
}

const NONE: Choice = { model: null, why: null, loads: false }

/**
 * The model that a request without a name means there, and why. Never one that is known to do other
 * work, or to run elsewhere; where the operator allows no loads, only what is in memory. Pure.
 */
export function choiceOf(known: Choosing, work: Work = 'generation'): Choice {
  const { spec } = known
  const choice = choose(known, work)
  if (choice === null) {
    // Many a chat model embeds, too.
    return work === 'generation' ? NONE : choiceOf(known, 'generation')
  }
  const [model, why] = choice
  const loads = model !== null && mayLoad(known) && !isInMemory(known, model)
  return loads && why !== 'configured' && spec.cold === 'never' ? NONE : { model, why, loads }
}

function choose(known: Choosing, work: Work): readonly [string | null, ChoiceWhy] | null {
  const { spec, facts } = known
  if (spec.model !== null) return [spec.model, 'configured']
  // What mlx-lm lists is the cache of models; without a name it takes the one it was started with.
  if (spec.engine === 'mlx') return [null, 'engine']
  const fitting = (facts.models ?? []).filter((model) => isFor(model, work))
  const [first] = fitting
  if (first !== undefined && fitting.length === 1) return [first.id, 'only']
  const ofEngine = namelessAt(known, first)
  if (ofEngine !== null) return ofEngine
  const loaded = loadedFor(known, work)
  if (loaded !== null) return [loaded, 'in_memory']
  const proven = facts.proven.findLast(({ model }) =>
    fitting.some(({ id }) => sameModel(spec.engine, id, model)),
  )
  if (proven !== undefined) return [proven.model, 'proven']
  const smallest = smallestOf(fitting)
  if (smallest !== null) return [smallest.id, 'smallest']
  return first === undefined ? null : [first.id, 'first']
}

/** What the engine itself takes for a request without a name. */
function namelessAt(
  { spec, facts }: Choosing,
  first: ListedModel | undefined,
): readonly [string | null, ChoiceWhy] | null {
  switch (spec.engine) {
    case 'vllm':
    case 'sglang':
    case 'llamacpp':
    case 'embedded':
      if (swapsModels({ spec, facts })) return null
      // The first served name; before the list is told a request without a name means it, too.
      if (first !== undefined) return [first.id, 'engine']
      return (facts.models ?? []).length === 0 ? [null, 'engine'] : null
    case 'vllm_metal':
      // One of its two servers wants a name.
      return first === undefined ? null : [first.id, 'engine']
    case 'openai': {
      const named = gateName(facts.models)
      return named === null ? null : [named, 'engine']
    }
    default:
      return null
  }
}

/** What to write where the engine has a word of its own for the model it was started with. */
export function nameless(
  { engine }: Pick<UpstreamSpec, 'engine'>,
  wanted: string | null,
): string | null {
  return engine === 'mlx' && wanted !== null ? 'default_model' : null
}

/** The name that a gate behind this one takes for its own choice; null: it is not a gate. */
function gateName(models: readonly ListedModel[] | null): string | null {
  const own = (models ?? []).filter(({ fields }) => fields['owned_by'] === 'gengate')
  return own.find(({ id }) => id === 'default')?.id ?? own[0]?.id ?? null
}

/** The one in memory that fits; the one proven last, if there are several. */
function loadedFor({ spec, facts }: Choosing, work: Work): string | null {
  const { loaded, loadedAt, models, proven } = facts
  if (loaded === null) return null
  // What generated since it told is in memory as well, and may have evicted what it told.
  const since = proven.flatMap(({ model, at }) => (at > loadedAt ? [model] : []))
  const fitting = [...loaded, ...since].filter((name) =>
    isFor(listedAs(spec.engine, models, name) ?? plainModel(name), work),
  )
  const isLoaded = (model: string): string | undefined =>
    fitting.find((name) => sameModel(spec.engine, name, model))
  const last = proven.findLast(({ model }) => isLoaded(model) !== undefined)
  return (last === undefined ? undefined : isLoaded(last.model)) ?? fitting[0] ?? null
}

function smallestOf(models: readonly ListedModel[]): ListedModel | null {
  let smallest: { readonly model: ListedModel; readonly bytes: number } | null = null
  for (const model of models) {
    const bytes = model.sizeBytes
    if (bytes !== null && (smallest === null || bytes < smallest.bytes)) smallest = { model, bytes }
  }
  return smallest?.model ?? null
}

function isFor(model: ListedModel, work: Work): boolean {
  return model.local && (work === 'generation' ? generates(model) : model.work === work)
}

/** May a request there load a model, and evict another? */
export function swapsModels({ spec, facts }: Choosing): boolean {
  switch (spec.engine) {
    case 'ollama':
    case 'lmstudio':
    case 'llamaswap':
      return true
    case 'llamacpp':
      // Only the router tells what is in memory.
      return facts.loaded !== null
    case 'openai': {
      if (spec.swaps !== 'auto') return spec.swaps === 'yes'
      const several = (facts.models ?? []).length > 1 && gateName(facts.models) === null
      return spec.model === null && several
    }
    default:
      return false
  }
}

/** Does nobody say what is in memory there, so that a probe of any listed model might load it? The
 *  operator's choice and an only model are probed all the same. */
export function isUntold(known: Choosing): boolean {
  const { spec, facts } = known
  if (facts.loaded !== null || spec.model !== null || !swapsModels(known)) return false
  return spec.swaps === 'yes' || (facts.models ?? []).length > 1
}

function mayLoad(known: Choosing): boolean {
  return known.facts.loaded === null ? isUntold(known) : swapsModels(known)
}

/** Names proven within this of the newest are in memory together, ms: where nobody says what is, a load
 *  since then may have evicted any other. */
const TOGETHER_MS = 10_000

/** Is this model in memory there? What was seen to generate since the engine told counts, too. */
export function isInMemory(known: Choosing, model: string): boolean {
  const { loaded, loadedAt, proven } = known.facts
  const since = loaded === null ? (proven.at(-1)?.at ?? 0) - TOGETHER_MS : loadedAt
  const same = (name: string): boolean => isSame(known, name, model)
  return loaded?.some(same) === true || proven.some((one) => one.at > since && same(one.model))
}

function isSame({ spec, facts }: Choosing, one: string, other: string): boolean {
  if (sameModel(spec.engine, one, other)) return true
  const id = listedAs(spec.engine, facts.models, one)?.id
  return id !== undefined && id === listedAs(spec.engine, facts.models, other)?.id
}
