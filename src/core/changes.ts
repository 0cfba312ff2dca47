import { choiceText, durationText } from './explain.ts'
import type { GateEvent } from './event.ts'
import { lastProofAt } from './health/facts.ts'
import { choiceOf } from './model/model-choice.ts'
import { type Reason, REASONS } from './health/reason.ts'
import { decide } from './route.ts'
import { type Entry, type RoutingTable, shownReason } from './table.ts'

/** What became visible between two snapshots, as events: once each, after the commit. Pure. */
export function changesBetween(
  before: RoutingTable,
  now: RoutingTable,
  nowMs: number,
): GateEvent[] {
  const events: GateEvent[] = []
  for (const entry of now.entries) {
    const was = before.entries.find(({ spec }) => spec.name === entry.spec.name)
    events.push(...meantAnew(was, entry))
    const from: Reason = was === undefined ? 'not_probed_yet' : shownReason(was)
    const to = shownReason(entry)
    if (from === to) continue
    events.push({
      type: 'state_changed',
      upstream: entry.spec.name,
      from,
      to,
      eligible: REASONS[to].state === 'eligible',
      generation: now.generation,
      evidence: evidenceText(entry, nowMs),
    })
  }
  const from = defaultUpstream(before)
  const to = defaultUpstream(now)
  if (from !== to) events.push({ type: 'route_changed', from, to })
  return events
}

/** Would a request without a model load another one there than before? */
function meantAnew(was: Entry | undefined, now: Entry): GateEvent[] {
  const choice = choiceOf(now)
  if (!choice.loads || choice.model === null || now.facts.models === null) return []
  const before = was === undefined || was.facts.models === null ? null : choiceOf(was)
  if (before?.loads === true && before.model === choice.model) return []
  const { model } = choice
  return [{ type: 'model_meant', upstream: now.spec.name, model, sentence: choiceText(choice) }]
}

/** The upstream that a request without a model would go to now; null: none. */
export function defaultUpstream(table: RoutingTable): string | null {
  const decision = decide(table, { model: null, tried: [] }, () => 0)
  return decision.kind === 'forward' ? decision.entry.spec.name : null
}

/** The facts behind a verdict, for the log line: ages, counts, nothing secret. */
function evidenceText({ facts }: Entry, nowMs: number): string {
  const parts: string[] = []
  const since = (at: number): string => durationText(nowMs - at)
  const proofAt = lastProofAt(facts)
  parts.push(proofAt === null ? 'no generation seen yet' : `last generation ${since(proofAt)} ago`)
  if (facts.sentAt !== null) parts.push(`probe unanswered for ${since(facts.sentAt)}`)
  if (facts.flight.inFlight > 0) {
    parts.push(`${facts.flight.inFlight} in flight, ${facts.flight.waiting} without content`)
  }
  if (facts.failure !== null) parts.push(`${facts.failure.reason} ${since(facts.failure.at)} ago`)
  if (facts.owed > 0) parts.push(`${facts.owed} passes owed`)
  return parts.join(', ')
}
