import type { ProbeOutcome } from '../core/health/evidence.ts'
import { hasGrown, type Work, type WorkQuery } from '../engines/quirks.ts'
import { sleep } from '../runtime/clock.ts'
import type { Asking } from './generate.ts'

/** The second look comes this long after the first one, ms: within a probe's deadline. */
const SECOND_LOOK_MS = 700
/** Between later looks, ms. More than a second: llama.cpp notices that the client of a unary answer
 *  has left only if nobody asks for its slots for a second (b10434, b11434). */
const LOOK_EVERY_MS = 1_500
/** A first look that takes longer is not waited for, ms: the probe tells more. */
const FIRST_LOOK_LIMIT_MS = 250

/** What a look came to. */
type Look = Work | 'silent' | 'unknown'

/** Looks at what an engine is at and reports every progress. */
class Watcher {
  readonly #round: Asking
  readonly #query: WorkQuery
  #seen: Work | null = null
  #seenAt: number
  /** Has anything grown so far? */
  moved = false

  constructor(round: Asking, query: WorkQuery) {
    this.#round = round
    this.#query = query
    this.#seenAt = round.clock.nowMs()
  }

  async look(limitMs: number, signal: AbortSignal): Promise<Look> {
    const { wire, target, clock, onProgress } = this.#round
    const fetched = await wire.get({ target, path: this.#query.path, limitMs, clock, signal })
    if (fetched.kind !== 'answer') return fetched.kind === 'silent' ? 'silent' : 'unknown'
    const work = fetched.status === 200 ? this.#query.read(fetched.body) : null
    if (work === null) return 'unknown'
    const nowMs = clock.nowMs()
    const grown = this.#seen !== null && hasGrown(this.#seen, work)
    if (grown && !signal.aborted) {
      this.moved = true
      onProgress(nowMs - this.#seenAt)
    }
    // What stands still is measured from when it was last seen to move.
    if (grown || this.#seen === null) this.#seenAt = nowMs
    this.#seen = work
    return work
  }
}

/**
 * Waits until a probe would be worked on at once. For an engine that runs what its client has given
 * up, a probe in its queue is one too many: it is looked at instead, and tokens that it makes for
 * others count as progress. Null: send the probe. Else how the wait ended, at most `limitMs` later.
 *
 * `owed`: a probe was given up there and nothing has answered since, so even a silent look is not
 * followed by another one.
 */
export async function untilRoom(round: Asking, owed: boolean): Promise<ProbeOutcome | null> {
  const { work } = round.quirks
  if (work === null || !work.before) return null
  const { clock, limitMs, queryLimitMs, signal, onSent } = round
  const watcher = new Watcher(round, work)
  const endAt = clock.nowMs() + limitMs
  let look = await watcher.look(Math.min(FIRST_LOOK_LIMIT_MS, queryLimitMs), signal)
  if (look === 'silent' && !owed) return null
  // From here on its silence counts, as that of a probe would.
  let pauseMs = SECOND_LOOK_MS
  while (look === 'silent' || (look !== 'unknown' && !look.room)) {
    onSent()
    // It works for others: that is proof enough, until the next look is due.
    if (watcher.moved) return { kind: 'busy', detail: 'no_slot' }
    if (clock.nowMs() >= endAt) return { kind: 'timeout', limitMs }
    await sleep(clock, pauseMs, signal)
    if (signal.aborted) return { kind: 'inconclusive', detail: 'ABORTED' }
    pauseMs = LOOK_EVERY_MS
    look = await watcher.look(queryLimitMs, signal)
  }
  return null
}

/** Looks while a probe is silent, until `signal`: tokens for others say that it is only waiting. */
export async function watchWork(round: Asking, signal: AbortSignal): Promise<void> {
  const { work } = round.quirks
  if (work === null) return
  const { clock, queryLimitMs } = round
  const watcher = new Watcher(round, work)
  for (let pauseMs = SECOND_LOOK_MS; ; pauseMs = LOOK_EVERY_MS) {
    await sleep(clock, pauseMs, signal)
    if (signal.aborted) return
    if ((await watcher.look(queryLimitMs, signal)) === 'unknown') return
  }
}

/** Does the engine say that it sleeps? Asked without waking it. */
export async function sleeps(round: Asking, signal = round.signal): Promise<boolean> {
  const { wire, target, clock, queryLimitMs, quirks } = round
  if (quirks.sleep === undefined) return false
  const { path, read } = quirks.sleep
  const fetched = await wire.get({ target, path, limitMs: queryLimitMs, clock, signal })
  return fetched.kind === 'answer' && fetched.status === 200 && read(fetched.body) === true
}

/** Asks while a probe is silent, until `signal`: calls `onAsleep` once it sleeps. */
export async function watchSleep(
  round: Asking,
  signal: AbortSignal,
  onAsleep: () => void,
): Promise<void> {
  if (round.quirks.sleep === undefined) return
  await sleep(round.clock, SECOND_LOOK_MS, signal)
  if (!signal.aborted && (await sleeps(round, signal)) && !signal.aborted) onAsleep()
}
