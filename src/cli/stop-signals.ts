/** Signals that end the gate. */
export type StopSignal = 'SIGINT' | 'SIGTERM'

/** A second signal counts only when it comes this much later, ms: one Ctrl-C arrives twice within
 *  4 ms, from the terminal's process group and from the launcher that forwards it. */
export const SECOND_SIGNAL_AFTER_MS = 500

export type StopStep =
  | { readonly kind: 'drain' }
  | { readonly kind: 'ignore' }
  /** Exit at once with this code: 128 + the number of the signal. */
  | { readonly kind: 'exit'; readonly code: 130 | 143 }

/** What a stop signal means. `firstAt` is when the first one came, null: never; ms. Pure. */
export function stopStep(signal: StopSignal, firstAt: number | null, nowMs: number): StopStep {
  if (firstAt === null) return { kind: 'drain' }
  if (nowMs - firstAt < SECOND_SIGNAL_AFTER_MS) return { kind: 'ignore' }
  return { kind: 'exit', code: signal === 'SIGINT' ? 130 : 143 }
}
