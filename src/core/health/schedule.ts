import { INTENTS } from '../upstream.ts'
import { type Facts, isUnproven, lastProofAt, quietSince } from './facts.ts'
import { RECHECK_MS } from './policy.ts'
import { type Entry, isActiveAt, type RoutingTable, stateOf } from '../table.ts'

/** Between two probes of an upstream whose failure costs it nothing to repeat, nobody active. */
const IDLE_RETRY_MS = 5_000
/** Between two probes that a person has to mend something for. */
const MISCONFIGURED_RETRY_MS = 10_000
/** Between two looks at an engine that the gate has started: somebody may wait for it. */
const STARTING_RETRY_MS = 1_000
/** A request that waits this long makes us ask whether anything moves, ms. */
const NUDGE_MS = 400

/**
 * When the next probe of this upstream is due, monotonic ms; `Infinity`: not until something
 * changes. `jitter` in [-1, 1) moves a regular probe by up to a tenth of its interval, so that
 * several gates do not probe in step. Pure.
 */
export function nextProbeAt(
  table: RoutingTable,
  entry: Entry,
  nowMs: number,
  jitter: number,
): number {
  const { facts, spec } = entry
  if (spec.probe !== 'active' || facts.sentAt !== null || !INTENTS[spec.intent].probed)
    return Infinity
  // Nothing runs, or it is about to be ended: a probe tells nothing, and may hold up the end.
  const phase = facts.process?.phase
  if (phase === 'asleep' || phase === 'draining') return Infinity
  if (facts.endedAt === null) return nowMs
  const soonest = facts.endedAt + RECHECK_MS
  const regular = facts.endedAt + intervalMs(table, entry, nowMs) * (1 + jitter / 10)
  const provenUntil = (facts.progressAt ?? 0) + table.config.health.intervalMs
  const wanted = wantedAt(entry, provenUntil)
  // Progress is the better probe: none is sent while it is seen (docs/decisions/0018).
  const due = facts.progressAt === null ? regular : Math.max(regular, provenUntil)
  return Math.max(soonest, Math.min(due, wanted))
}

/** The instant at which something asks for a probe out of turn. While a stream is delivering, a request
 *  that waits does not before `provenUntil`: a full engine may pause between two tokens, and a probe
 *  would only stand in its queue. */
function wantedAt({ facts }: Entry, provenUntil: number): number {
  let at = Infinity
  const proofAt = Math.max(lastProofAt(facts) ?? 0, facts.embedsAt ?? 0)
  const lookedAt = Math.max(proofAt, facts.endedAt ?? 0)
  if (facts.liveFailureAt !== null && facts.liveFailureAt > lookedAt) at = facts.liveFailureAt
  const refusedAt = facts.refusals?.at ?? 0
  if (refusedAt > Math.max(proofAt, facts.failure?.at ?? 0)) at = Math.min(at, refusedAt)
  if (facts.owed > 0 && hasJustPassed(facts)) {
    at = Math.min(at, facts.endedAt ?? Infinity)
  }
  const { newest } = facts.flight
  if (newest !== null) {
    const silentSince = Math.max(quietSince(newest), facts.progressAt ?? 0)
    const asked = facts.endedAt !== null && facts.endedAt > silentSince + NUDGE_MS
    const delivering = facts.flight.items.some((item) => item.contentAt !== null)
    const nudgeAt = silentSince + NUDGE_MS
    if (!asked) at = Math.min(at, delivering ? Math.max(nudgeAt, provenUntil) : nudgeAt)
  }
  return at
}

function hasJustPassed({ passAt, embedsAt, endedAt }: Facts): boolean {
  return endedAt !== null && (passAt === endedAt || embedsAt === endedAt)
}

/** The interval in force: short while clients are active, long for the quiet and the mistaken. */
export function intervalMs(table: RoutingTable, entry: Entry, nowMs: number): number {
  const { health } = table.config
  if (isUnproven(entry.facts.process)) return Math.min(health.intervalMs, STARTING_RETRY_MS)
  const active = isActiveAt(table, entry, nowMs)
  // Its probes are answered as they should be.
  const state = entry.reason === 'embeddings_only' ? 'eligible' : stateOf(entry)
  switch (state) {
    case 'misconfigured':
      return Math.max(health.intervalMs, MISCONFIGURED_RETRY_MS)
    case 'eligible':
    case 'draining':
    case 'disabled':
      return active
        ? health.intervalMs
        : Math.max(health.quietIntervalMs, entry.spec.quietIntervalMs)
    case 'cold':
    case 'starting':
    case 'ejected':
      return active ? health.intervalMs : Math.max(health.intervalMs, IDLE_RETRY_MS)
    case 'suspect':
    case 'unknown':
      return Math.min(health.intervalMs, RECHECK_MS)
  }
}
