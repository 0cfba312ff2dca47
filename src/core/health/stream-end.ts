import type { EngineKind, UpstreamSpec } from '../upstream.ts'

/**
 * What ends a stream of choices. `finish_reason`: a reason for every index that it showed. `done`:
 * `[DONE]` alone. `learn`: `[DONE]`, unless this very stream has carried a reason.
 */
export type EndRule = 'finish_reason' | 'done' | 'learn'

/** What a stream has shown of its upstream's habits. */
export type EndSign = Exclude<EndRule, 'learn'>

/** Kinds of which nobody knows whether their streams carry a reason. All others do, and are held to it
 *  from their first stream: engines send `[DONE]` after a crash, too. */
const LEARNED: readonly EngineKind[] = ['openai', 'llamaswap']

/** The rule that holds for the streams of an upstream now. Pure. */
export function endRuleOf(
  { streamEnd, engine }: Pick<UpstreamSpec, 'streamEnd' | 'engine'>,
  facts: { readonly streamEnd: EndSign | null },
): EndRule {
  if (streamEnd !== 'auto') return streamEnd
  return LEARNED.includes(engine) && facts.streamEnd !== 'finish_reason' ? 'learn' : 'finish_reason'
}
