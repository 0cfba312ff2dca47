import type { Entry } from './entry.ts'
import { judge, type JudgeContext } from './judge.ts'
import { type EvidenceReason, REASONS } from './reason.ts'

const FLAP_WINDOW_MS = 600_000
const HOLD_DOWN_MS_MAX = 300_000
const HOLD_DOWN_MS = 5_000
const PASSES_AFTER_EJECTION = 2

/** One entry's verdict now, with what a verdict alone does not know: hysteresis. */
export function advance(was: Entry, ctx: JudgeContext): Entry {
  const { nowMs } = ctx
  const { reason: raw, wakeAt } = judge(was.spec, was.facts, ctx)
  // Nobody would bring the passes that are owed: a try of its own decides (`judge`).
  if (was.spec.probe !== 'active') return turn(was, raw, wakeAt, nowMs)
  const wasState = REASONS[was.reason].state
  if (REASONS[raw].state === 'ejected') {
    if (wasState === 'ejected') return turn(was, raw, wakeAt, nowMs)
    const facts = { ...was.facts, owed: PASSES_AFTER_EJECTION }
    // Only what was serving can flap: an engine that has yet to start owes nothing.
    if (wasState !== 'eligible' && wasState !== 'suspect') {
      return turn({ ...was, facts: { ...facts, owed: 1 } }, raw, wakeAt, nowMs)
    }
    return turn({ ...was, facts, ejections: nextEjection(was, nowMs) }, raw, wakeAt, nowMs)
  }
  const held = nowMs < was.ejections.holdUntil && REASONS[raw].serves !== 'no'
  const out = wasState === 'ejected' && !NOT_ADMITTED.includes(raw)
  if (out && was.facts.owed > 0) return { ...was, wakeAt }
  // A crash loop may come back by way of loading: its hold-down goes on.
  if (!held || !(out || wasState === 'starting')) return turn(was, raw, wakeAt, nowMs)
  return turn(was, 'hold_down', Math.min(wakeAt, was.ejections.holdUntil), nowMs)
}

/** What an ejected upstream may turn into at once: it gets nothing, or only what loads it. */
const NOT_ADMITTED: readonly EvidenceReason[] = ['model_not_loaded', 'loading', 'sleeping']

function turn(was: Entry, reason: EvidenceReason, wakeAt: number, nowMs: number): Entry {
  if (reason === was.reason) return wakeAt === was.wakeAt ? was : { ...was, wakeAt }
  const back = REASONS[was.reason].state === 'ejected' && REASONS[reason].state === 'eligible'
  return { ...was, reason, wakeAt, since: nowMs, admittedAt: back ? nowMs : was.admittedAt }
}

/** The first ejection has no hold-down; later ones double it up to five minutes (design §6). */
function nextEjection(was: Entry, nowMs: number): Entry['ejections'] {
  const flapping = nowMs - was.ejections.lastAt < FLAP_WINDOW_MS
  const count = flapping ? was.ejections.count + 1 : 1
  const holdMs = count === 1 ? 0 : Math.min(HOLD_DOWN_MS * 2 ** (count - 2), HOLD_DOWN_MS_MAX)
  return { count, lastAt: nowMs, holdUntil: nowMs + holdMs }
}
