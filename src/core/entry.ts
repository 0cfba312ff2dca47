import { type Facts, isKnownFor, needsStart } from './health/facts.ts'
import type { WorkVerdict } from './health/judge.ts'
import {
  type EvidenceReason,
  isEvidence,
  type Reason,
  REASONS,
  type Serves,
  type State,
} from './health/reason.ts'
import type { OtherWork, Work } from './model/model-choice.ts'
import type { UpstreamSpec } from './upstream.ts'

/** One row of the routing table. */
export interface Entry {
  readonly spec: UpstreamSpec
  /** Changes with the address, the engine or the model: evidence of an older epoch is void. */
  readonly epoch: number
  readonly facts: Facts
  readonly reason: EvidenceReason
  /** How it stands to work other than generation. */
  readonly works: Readonly<Record<OtherWork, WorkVerdict>>
  /** Since when it has this reason, monotonic ms. */
  readonly since: number
  readonly wakeAt: number
  /** When it came back from an ejection; null: it never did. */
  readonly admittedAt: number | null
  readonly ejections: {
    readonly count: number
    readonly lastAt: number
    readonly holdUntil: number
  }
}

/** What everybody shows of an upstream: intent first, then evidence (docs/decisions/0017). An engine
 *  that the gate itself is about to end drains, too. */
export function shownReason({ spec, facts, reason }: Entry): Reason {
  if (spec.intent !== 'enabled') return spec.intent
  return facts.process?.phase === 'draining' ? 'draining' : reason
}

export function stateOf(entry: Entry): State {
  return REASONS[shownReason(entry)].state
}

/**
 * When a request for this kind of work may be sent there; null: for none that anything proves. An
 * unproven upstream that nobody probes serves last, a cold one not at all where the operator said
 * `never`; one that was started for a request, as if cold.
 */
export function servesOf(entry: Entry, work: Work | null = 'generation'): Serves {
  const own = servesGeneration(entry)
  if (work === 'generation') return own
  if (work !== null) return servesOther(entry, work, own)
  if (own !== 'no') return own
  // What still does other work is up: better than nobody.
  return OTHER_WORKS.some((other) => servesOther(entry, other, own) !== 'no') ? 'last' : 'no'
}

function servesGeneration(entry: Entry): Serves {
  const { serves, state } = REASONS[shownReason(entry)]
  if (state === 'unknown' && entry.spec.probe === 'passive') return 'last'
  const nothing = entry.facts.loadsNothing || isEmpty(entry)
  if (state === 'cold' && (entry.spec.cold === 'never' || nothing)) return 'no'
  if (state === 'starting' && needsStart(entry.facts.process)) return 'on_demand'
  return serves
}

const OTHER_WORKS: readonly OtherWork[] = ['embedding', 'rerank']
/** Nothing is served there, whatever has been proven. */
const SHUT: ReadonlySet<Reason> = new Set(['refused', 'unreachable', 'unauthorized'])
/** Reasons that speak of generation alone, so that other work may be tried all the same. */
const OF_GENERATION: ReadonlySet<Reason> = new Set([
  'stale',
  'wedged',
  'http_5xx',
  'invalid_response',
  'truncated',
  'hold_down',
  'model_not_found',
  'bad_request',
  'wrong_kind',
])

function servesOther(entry: Entry, work: OtherWork, own: Serves): Serves {
  const { facts, spec, works } = entry
  const reason = shownReason(entry)
  if (SHUT.has(reason) || !isEvidence(reason) || needsStart(facts.process)) return own
  if (works[work] === 'proven') return 'first'
  if (works[work] === 'unproven' && own !== 'no') return own
  const tries =
    own !== 'no' || (OF_GENERATION.has(reason) && isKnownFor({ facts, model: spec.model }, work))
  return tries ? 'last' : 'no'
}

/** Does it list no model at all, so that there is nothing to load? */
export function isEmpty({ facts }: Entry): boolean {
  return facts.models?.length === 0
}
