import { writeFileSync } from 'node:fs'
import type { Clock } from '../runtime/clock.ts'

/** Nice value of a session that computes, of -20…19. Seen with a vLLM that takes both processors of a
 *  machine (Linux 6.18): at 0 the gate did not run for up to 40 s, at 1 for a second, at 5 for
 *  56 ms (docs/engines.md has the command). */
const NICE = '5\n'
/** The kernel takes one such change in 100 ms from all who are not root. */
const AGAIN_MS = 150
const TRIES = 5

/**
 * Lets others go first where this process computes. Linux shares the processors among sessions
 * before it shares them among processes (`CONFIG_SCHED_AUTOGROUP`; sched(7), "The autogroup
 * feature"), so what has been started as a session of its own can keep the gate from running at all,
 * and its own `nice` does not help. Where nobody else wants a processor it costs nothing. Does
 * nothing where there are no such groups: other systems, kernels without them, most containers.
 */
export function yieldToOthers(pid: number, clock: Clock, tries = TRIES): void {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, NICE)
  } catch (error) {
    const again = error instanceof Error && 'code' in error && error.code === 'EAGAIN'
    if (!again || tries <= 1) return
    clock.after(AGAIN_MS, () => yieldToOthers(pid, clock, tries - 1))
  }
}
