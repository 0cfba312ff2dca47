/** Time as an argument: `core` and `probe` run under a virtual clock in tests. */
export interface Clock {
  /** Monotonic milliseconds; only differences mean something. */
  nowMs(): number
  /** Wall-clock milliseconds since 1970, for people and for ISO times only. */
  wallMs(): number
  /** Runs `task` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, task: () => void): () => void
}

/** Longest delay that Node's timers take; longer ones would fire at once. */
const DELAY_MS_MAX = 2_147_483_647

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, task) {
    const timer = setTimeout(task, Math.min(Math.max(0, delayMs), DELAY_MS_MAX))
    return () => clearTimeout(timer)
  },
}

/** Runs `task` after `delayMs` if the process still lives then. Keeps nothing alive by itself. */
export function ifStillAlive(delayMs: number, task: () => void): void {
  setTimeout(task, delayMs).unref()
}

/** Resolves after `delayMs`, or at once when the signal aborts. Never rejects. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve()
    const done = (): void => {
      cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const cancel = clock.after(delayMs, done)
    signal?.addEventListener('abort', done)
  })
}

/** An instant as ISO 8601 in UTC, from wall-clock ms since 1970. */
export function isoTime(wallMs: number): string {
  const second = Math.floor(wallMs / 1_000)
  if (second !== lastSecond) {
    // Thousands of log lines share a second, and its text costs a microsecond to make.
    lastText = new Date(second * 1_000).toISOString().slice(0, -'000Z'.length)
    lastSecond = second
  }
  const ms = Math.floor(wallMs - second * 1_000)
  return `${lastText}${String(ms).padStart(3, '0')}Z`
}
let lastSecond = Number.NaN
let lastText = ''

/** Wall-clock ms since 1970 of an ISO time; NaN if it is not one. */
export function parseIso(text: string): number {
  return Date.parse(text)
}
