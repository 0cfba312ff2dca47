import { sameModel } from '../core/model-name.ts'
import type { Quirks } from '../engines/quirks.ts'

/** What is known when a model is chosen. */
export interface ModelKnowledge {
  /** The operator's choice; null: none. */
  readonly configured: string | null
  /** In memory now; null: the engine did not say. */
  readonly loaded: readonly string[] | null
  /** Was it asked what is in memory, and silent? */
  readonly silent: boolean
  /** The model that was probed before, while it was in memory. */
  readonly lastLoaded: string | null
  /** What it lists; null: not known. */
  readonly listed: readonly string[] | null
  readonly quirks: Quirks
}

export type ModelChoice =
  /** Probe this one; null: leave the name out. */
  | { readonly kind: 'probe'; readonly model: string | null }
  /** A probe would load a model, cost money or leave the machine. */
  | { readonly kind: 'cold' }
  /** Several are listed and nothing says which one is served. */
  | { readonly kind: 'undecided' }

/** Which model a probe asks for, so that it never causes a load (design D11). Pure. */
export function chooseModel(known: ModelKnowledge): ModelChoice {
  const choice = choose(known)
  const never = choice.kind === 'probe' && choice.model !== null
  return never && known.quirks.neverProbe(choice.model) ? { kind: 'cold' } : choice
}

function choose(known: ModelKnowledge): ModelChoice {
  const { configured, loaded } = known
  if (loaded !== null) {
    if (configured === null) return firstOf(loaded)
    const isLoaded = loaded.some((name) => sameModel(known.quirks.kind, name, configured))
    return isLoaded ? { kind: 'probe', model: configured } : { kind: 'cold' }
  }
  if (configured !== null) return { kind: 'probe', model: configured }
  // A nameless request loads nothing, and hangs as well as any other where nothing generates.
  if (known.silent) return { kind: 'probe', model: known.lastLoaded }
  return fromList(known)
}

function firstOf(loaded: readonly string[]): ModelChoice {
  const [first] = loaded
  return first === undefined ? { kind: 'cold' } : { kind: 'probe', model: first }
}

function fromList({ listed, quirks }: ModelKnowledge): ModelChoice {
  const [first] = listed ?? []
  // It listed nothing: ask without a name, so that a wedge shows and a refusal is its own.
  if (listed === null || first === undefined) return { kind: 'probe', model: null }
  if (listed.length === 1 || !quirks.listsUnloaded) return { kind: 'probe', model: first }
  return quirks.modelOptional ? { kind: 'probe', model: null } : { kind: 'undecided' }
}
