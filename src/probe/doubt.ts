import type { DoubtCause } from '../core/event.ts'
import type { ProbeOutcome } from '../core/health/evidence.ts'
import type { Clock } from '../runtime/clock.ts'

/** Between two looks at our own punctuality, ms. */
const LOOK_EVERY_MS = 500
/** Later than this and we doubt what we saw meanwhile, ms (docs/decisions/0013). */
export const LATE_MS = 250
/** The wall clock may be set by a little at any time; a leap beyond this was sleep, ms. Linux stops
 *  the monotonic clock while the machine sleeps, so lateness alone would not show it. */
const LEAP_MS = 1_000

/** Errors of our own machine or its resolver, after which everything we see is doubtful. */
const OURS: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOTFOUND', 'EAI_AGAIN'])

/**
 * Watches how late our own timers are: a stalled event loop or a machine that slept makes every
 * upstream look silent. Calls `onDoubt` for each late look, with the time that was lost; the returned
 * function stops it.
 */
export function watchPunctuality(
  clock: Clock,
  onDoubt: (why: DoubtCause, lostMs: number) => void,
): () => void {
  let cancel: (() => void) | null = null
  const look = (): void => {
    const dueAt = clock.nowMs() + LOOK_EVERY_MS
    const wallDueAt = clock.wallMs() + LOOK_EVERY_MS
    cancel = clock.after(LOOK_EVERY_MS, () => {
      const lateMs = clock.nowMs() - dueAt
      const leapMs = clock.wallMs() - wallDueAt
      look()
      if (lateMs > LATE_MS) onDoubt('stalled', lateMs)
      else if (leapMs > LEAP_MS) onDoubt('slept', leapMs)
    })
  }
  look()
  return () => cancel?.()
}

/** Does this outcome speak of our own machine rather than of the upstream? Pure. */
export function doubtsUs(outcome: ProbeOutcome): boolean {
  return outcome.kind === 'inconclusive' && OURS.has(outcome.detail)
}
