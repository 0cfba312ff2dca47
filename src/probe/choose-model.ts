import type { Facts } from '../core/health/facts.ts'
import { type ListedModel, plainModel, type Work } from '../core/model/listed-model.ts'
import { type Choice, choiceOf } from '../core/model/model-choice.ts'
import type { SwapPolicy } from '../core/upstream.ts'
import { workOfName } from '../engines/model-list.ts'
import type { Quirks } from '../engines/quirks.ts'

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
